//! AWS VPC flow logs.

use sekisho_exchange::Format;

use crate::support::{edges, import};

fn line(from: (&str, u16), to: (&str, u16), (interface, start): (&str, u64)) -> String {
    let end = start + 60;
    format!(
        "2 1 {interface} {} {} {} {} 6 10 1000 {start} {end} ACCEPT OK",
        from.0, to.0, from.1, to.1
    )
}

const CART: (&str, u16) = ("10.0.1.5", 40_112);
const DB: (&str, u16) = ("10.0.2.7", 5_432);

#[test]
fn two_directions_at_two_interfaces_in_two_intervals_are_one_connection_whose_bytes_count_once() {
    let lines: Vec<String> = [1_700_000_000, 1_700_000_060]
        .into_iter()
        .flat_map(|start| {
            ["eni-cart", "eni-db"].into_iter().flat_map(move |interface| {
                [line(CART, DB, (interface, start)), line(DB, CART, (interface, start))]
            })
        })
        .collect();
    let all = import(Format::AwsVpc, &lines.join("\n"));
    assert_eq!(edges(&all.flows), ["shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed ?"]);
    assert_eq!((all.tally.records, all.tally.connections), (8, 1));
    let sum = |of: fn(&sekisho_model::EdgeStats) -> u64| {
        all.flows.iter().map(|flow| of(&flow.stats)).sum::<u64>()
    };
    assert_eq!((sum(|s| s.bytes_sent), sum(|s| s.bytes_received)), (2_000, 2_000));
}

#[test]
fn an_answer_that_comes_first_is_still_an_answer() {
    let text =
        [line(DB, CART, ("eni-db", 1_700_000_000)), line(CART, DB, ("eni-db", 1_700_000_000))];
    let all = import(Format::AwsVpc, &text.join("\n"));
    assert_eq!(edges(&all.flows), ["shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed ?"]);
    assert_eq!(all.tally.connections, 1);
}

#[test]
fn the_same_ports_after_a_long_silence_are_another_connection() {
    let text =
        [line(CART, DB, ("eni-db", 1_700_000_000)), line(CART, DB, ("eni-db", 1_700_090_000))];
    assert_eq!(import(Format::AwsVpc, &text.join("\n")).tally.connections, 2);
}

#[test]
fn a_service_address_is_known_as_one() {
    let text = line(CART, ("10.96.0.10", 5_432), ("eni-db", 1_700_000_000));
    let all = import(Format::AwsVpc, &text);
    let service = all.flows[0].key.service.as_ref().unwrap();
    assert_eq!(service.to_string(), "shop/db:5432");
}

#[test]
fn a_time_in_the_future_and_an_end_before_its_start_are_rejected() {
    let text = [
        line(CART, DB, ("eni-db", 1_900_000_000)),
        line(CART, DB, ("eni-db", 1_700_000_000)).replace("1700000060", "1600000000"),
        line(CART, DB, ("eni-db", 1_700_000_000)),
    ];
    let all = import(Format::AwsVpc, &text.join("\n"));
    assert_eq!((all.tally.records, all.tally.rejected_sum()), (1, 2));
}

#[test]
fn a_minute_without_records_between_two_is_not_taken_for_silence() {
    let text =
        [line(CART, DB, ("eni-db", 1_700_000_000)), line(CART, DB, ("eni-db", 1_700_000_600))];
    let all = import(Format::AwsVpc, &text.join("\n"));
    assert_eq!(all.losses.len(), 11);
    assert_eq!(all.losses.iter().map(|loss| loss.dropped).sum::<u64>(), 0);
}
