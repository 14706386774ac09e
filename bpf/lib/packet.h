/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reads the addresses, ports and payload of a UDP datagram in a cgroup_skb program, whose data
 * begins at the IP header. IPv6 extension headers are not walked: such datagrams are not seen.
 */
#ifndef SEKISHO_PACKET_H
#define SEKISHO_PACKET_H

#define IPV4_HEADER_MIN 20
#define IPV4_WORD 4
#define IPV4_PROTOCOL_AT 9
#define IPV4_SOURCE_AT 12
#define IPV4_DESTINATION_AT 16
#define IPV6_HEADER 40
#define IPV6_NEXT_AT 6
#define IPV6_SOURCE_AT 8
#define IPV6_DESTINATION_AT 24
#define UDP_HEADER 8

struct datagram {
	__u8 source[16];
	__u8 destination[16];
	__u16 source_port;
	__u16 destination_port;
	__u32 payload_at;
	__u32 payload_length;
	__u32 count; /* datagrams in the skb: more than 1 if segmentation is offloaded */
};

static __always_inline bool read_ipv4(struct __sk_buff *skb, struct datagram *out)
{
	__u8 header[IPV4_HEADER_MIN];

	if (bpf_skb_load_bytes(skb, 0, header, sizeof(header)) ||
	    header[IPV4_PROTOCOL_AT] != IPPROTO_UDP)
		return false;
	__builtin_memset(out->source, 0, 10);
	__builtin_memset(out->destination, 0, 10);
	out->source[10] = out->source[11] = 0xff;
	out->destination[10] = out->destination[11] = 0xff;
	__builtin_memcpy(out->source + 12, header + IPV4_SOURCE_AT, 4);
	__builtin_memcpy(out->destination + 12, header + IPV4_DESTINATION_AT, 4);
	out->payload_at = (header[0] & 0xf) * IPV4_WORD;
	return true;
}

static __always_inline bool read_ipv6(struct __sk_buff *skb, struct datagram *out)
{
	__u8 header[IPV6_HEADER];

	if (bpf_skb_load_bytes(skb, 0, header, sizeof(header)) ||
	    header[IPV6_NEXT_AT] != IPPROTO_UDP)
		return false;
	__builtin_memcpy(out->source, header + IPV6_SOURCE_AT, 16);
	__builtin_memcpy(out->destination, header + IPV6_DESTINATION_AT, 16);
	out->payload_at = IPV6_HEADER;
	return true;
}

static __always_inline bool read_datagram(struct __sk_buff *skb, struct datagram *out)
{
	__be16 ports[2];
	__u8 version;

	if (bpf_skb_load_bytes(skb, 0, &version, sizeof(version)))
		return false;
	if (!((version >> 4) == 4 ? read_ipv4(skb, out) : read_ipv6(skb, out)))
		return false;
	if (bpf_skb_load_bytes(skb, out->payload_at, ports, sizeof(ports)))
		return false;
	out->source_port = bpf_ntohs(ports[0]);
	out->destination_port = bpf_ntohs(ports[1]);
	out->payload_at += UDP_HEADER;
	if (skb->len < out->payload_at)
		return false;
	out->payload_length = skb->len - out->payload_at;
	out->count = skb->gso_segs ? skb->gso_segs : 1;
	return true;
}

#endif
