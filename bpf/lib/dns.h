/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Copies DNS answers, whole or cut at 1,232 bytes, for user space to parse. Called by the UDP hook.
 * Answers over TCP are not seen.
 */
#ifndef SEKISHO_DNS_H
#define SEKISHO_DNS_H

#define DNS_PORT 53
#define DNS_HEADER 12
#define DNS_FLAGS_AT 2
#define DNS_IS_ANSWER 0x80

static __always_inline void fill_dns(struct __sk_buff *skb, struct sekisho_dns *dns,
				     const struct datagram *datagram, __u32 captured)
{
	fill_header(&dns->header, SEKISHO_KIND_DNS, SEKISHO_HOOK_DNS);
	dns->header.cgroup_id = bpf_skb_cgroup_id(skb);
	if (captured < datagram->payload_length)
		dns->header.flags |= SEKISHO_F_CUT;
	dns->captured = captured;
	dns->length = datagram->payload_length;
	dns->pad = 0;
}

static __always_inline void capture_small(struct __sk_buff *skb, const struct datagram *datagram)
{
	struct sekisho_dns_small *record = reserve(&ring_shed, sizeof(*record), SEKISHO_HOOK_DNS);
	__u32 length = datagram->payload_length;

	if (!record)
		return;
	if (length > SEKISHO_DNS_SMALL)
		length = SEKISHO_DNS_SMALL;
	/* The caller has checked the lower bound; the verifier wants to see it. */
	if (length < DNS_HEADER)
		length = DNS_HEADER;
	fill_dns(skb, &record->dns, datagram, length);
	if (bpf_skb_load_bytes(skb, datagram->payload_at, record->payload, length))
		record->dns.captured = 0;
	bpf_ringbuf_submit(record, wake_flags(&ring_shed));
}

static __always_inline void capture_large(struct __sk_buff *skb, const struct datagram *datagram)
{
	struct sekisho_dns_large *record = reserve(&ring_shed, sizeof(*record), SEKISHO_HOOK_DNS);
	__u32 length = datagram->payload_length;

	if (!record)
		return;
	if (length > SEKISHO_DNS_LARGE)
		length = SEKISHO_DNS_LARGE;
	if (length < DNS_HEADER)
		length = DNS_HEADER;
	fill_dns(skb, &record->dns, datagram, length);
	if (bpf_skb_load_bytes(skb, datagram->payload_at, record->payload, length))
		record->dns.captured = 0;
	bpf_ringbuf_submit(record, wake_flags(&ring_shed));
}

static __always_inline void capture_dns(struct __sk_buff *skb, const struct datagram *datagram)
{
	__u8 flags;

	if (datagram->payload_length < DNS_HEADER ||
	    bpf_skb_load_bytes(skb, datagram->payload_at + DNS_FLAGS_AT, &flags, sizeof(flags)) ||
	    !(flags & DNS_IS_ANSWER))
		return;
	if (datagram->payload_length <= SEKISHO_DNS_SMALL)
		capture_small(skb, datagram);
	else
		capture_large(skb, datagram);
}

#endif
