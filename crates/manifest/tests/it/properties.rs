//! Laws of reading and printing.

use proptest::prelude::*;
use sekisho_manifest::{Meta, NetworkPolicy, Object, parse, print_policy, read, to_json};

use crate::strategy::{forget, object, policy};

/// What print_policy prints of a policy.
fn printable(policy: NetworkPolicy) -> NetworkPolicy {
    let meta = Meta {
        name: policy.meta.name,
        namespace: policy.meta.namespace,
        labels: policy.meta.labels,
        annotations: policy.meta.annotations,
        ..Meta::default()
    };
    NetworkPolicy { meta, ..policy }
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "apiVersion: ",
        "kind: ",
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "List",
        "items:",
        "spec:",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "\n",
        "\n  ",
        "\n    ",
        "'",
        "\"",
        "&a ",
        "*a ",
        "<<",
        "|",
        ">",
        "#",
        "---\n",
        "\t",
        ",",
        "!!str ",
        "metadata:",
        "name: x",
        "ports:",
        "port: 1",
        "from:",
        "? ",
        "%",
        "\u{feff}",
        "\r",
        "\\",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_printed_policy_reads_back_equal(policy in policy()) {
        let mut wanted = Object::NetworkPolicy(printable(policy.clone()));
        let text = print_policy(&policy);
        let mut objects = parse("f", &text).map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{text}")))?;
        prop_assert_eq!(objects.len(), 1);
        forget(&mut wanted);
        forget(&mut objects[0]);
        prop_assert_eq!(&objects[0], &wanted, "{}", text);
    }

    #[test]
    fn an_object_written_as_json_reads_back_equal(object in object()) {
        let mut wanted = object.clone();
        let text = to_json(&object);
        prop_assert!(!text.contains('\n'));
        let mut objects = parse("f", &text).map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{text}")))?;
        prop_assert_eq!(objects.len(), 1);
        forget(&mut wanted);
        forget(&mut objects[0]);
        prop_assert_eq!(&objects[0], &wanted, "{}", text);
    }

    #[test]
    fn no_text_makes_reading_panic(text in prop_oneof![any::<String>(), "\\PC*", yaml_like()]) {
        let reading = read("f", &text);
        prop_assert!(reading.errors.iter().all(|error| error.line > 0 && error.column > 0));
    }
}
