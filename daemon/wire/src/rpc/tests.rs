//! The envelope: bytes of the original, round trips, hostile frames.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn frames() -> Vec<(String, String, Vec<u8>)> {
    let text = include_str!("../../../../tests/fixtures/agent/frames.jsonl");
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_str().unwrap().to_owned();
        (field("kind"), field("method"), hex::decode(field("hex")).unwrap())
    };
    text.lines().map(row).collect()
}

#[test]
fn every_recorded_frame_is_read_and_written_back_byte_for_byte() {
    let frames = frames();
    assert!(frames.len() > 100);
    for (kind, method, bytes) in frames {
        let message = Message::decode(&bytes).unwrap();
        match &message {
            Message::Request { method: found, .. } => {
                assert_eq!((kind.as_str(), found), ("request", &method));
            }
            Message::Notification { method: found, .. } => {
                assert_eq!((kind.as_str(), found), ("notification", &method));
            }
            Message::Response { outcome, .. } => {
                assert_eq!((kind.as_str(), outcome.is_err()), ("response", method == "error"));
                // A backtrace of the agent is not kept.
                if method == "error" && bytes.len() > 100 {
                    continue;
                }
            }
        }
        assert_eq!(message.encode(), bytes, "{method}");
    }
}

#[test]
fn the_documented_bytes_are_what_they_are_documented_to_be() {
    let info = map([("version", Value::from("1.6.0"))]);
    let cases = [
        (
            Message::notification("/agent/master_info", vec![info]),
            "9302b22f6167656e742f6d61737465725f696e666f9181a776657273696f6ea5312e362e30",
        ),
        (
            Message::Request {
                id: 7,
                method: "/service_pods/notify_update".to_owned(),
                params: vec![Value::Array(Vec::new())],
            },
            "940007bb2f736572766963655f706f64732f6e6f746966795f7570646174659190",
        ),
        (
            Message::Request {
                id: 2_147_483_648,
                method: "/nodes/update".to_owned(),
                params: vec![Value::from("a"), Value::Map(Vec::new())],
            },
            "9400ce80000000ad2f6e6f6465732f75706461746592a16180",
        ),
        (
            Message::Response { id: 5, outcome: Err(Fault::new(500, "x")) },
            "94010582a4636f6465cd01f4a76d657373616765a178c0",
        ),
    ];
    for (message, bytes) in cases {
        assert_eq!(hex::encode(message.clone().encode()), bytes);
        assert_eq!(Message::decode(&hex::decode(bytes).unwrap()).unwrap(), message);
    }
}

#[test]
fn an_unknown_handler_is_told_under_another_key() {
    let answer = Message::Response { id: 1, outcome: Err(Fault::not_implemented()) }.encode();
    let value = decode(&answer).unwrap();
    let error = &value.as_array().unwrap()[2];
    assert_eq!(loose::text_at(error, "error").as_deref(), Some("service not implemented"));
    assert_eq!(loose::get(error, "message"), None);
}

#[test]
fn text_as_bin_and_text_that_is_not_utf8_are_read() {
    // [2, bin "/x", [str "a\xff"]]
    let frame = [0x93, 2, 0xc4, 2, b'/', b'x', 0x91, 0xa2, b'a', 0xff];
    let Message::Notification { method, params } = Message::decode(&frame).unwrap() else { panic!() };
    assert_eq!(method, "/x");
    assert_eq!(loose::bytes(&params[0]), Some(&b"a\xff"[..]));
    assert_eq!(loose::text(&params[0]).unwrap(), "a\u{fffd}");
}

#[test]
fn other_shapes_are_told_from_malformed_frames() {
    for (frame, error) in [
        (&[0x90][..], FrameError::Shape),
        (&[0x80], FrameError::Shape),
        (&[0x93, 9, 0xa0, 0x90], FrameError::Shape),
        (&[0x95, 2, 0xa1, b'x', 0x90, 1, 2], FrameError::Shape),
        (&[0x93, 2, 0xa1, b'x', 0x80], FrameError::Shape),
        (&[], LimitError::Short.into()),
        (&[0x93, 2], LimitError::Short.into()),
        (&[0xc1], LimitError::Reserved.into()),
        (&[0x90, 0x90], LimitError::Trailing(1).into()),
        // An array that announces 4,294,967,295 elements.
        (&[0xdd, 0xff, 0xff, 0xff, 0xff], LimitError::Collection(u32::MAX).into()),
        (&[0xdb, 0xff, 0xff, 0xff, 0xff], LimitError::Short.into()),
    ] {
        assert_eq!(Message::decode(frame), Err(error), "{frame:x?}");
    }
}

#[test]
fn depth_and_count_are_limited() {
    let nested = |depth: usize| {
        let mut frame = vec![0x91; depth];
        frame.push(0xc0);
        frame
    };
    assert_eq!(limits::check(&nested(limits::DEPTH_MAX - 1)), Ok(()));
    assert_eq!(limits::check(&nested(limits::DEPTH_MAX)), Err(LimitError::Depth));
    assert_eq!(limits::check(&nested(1_000_000)), Err(LimitError::Depth));
    // 16 arrays of 60,000 empty arrays: within each limit but that of all values.
    let mut wide = vec![0xdc, 0, 16];
    for _ in 0..16 {
        wide.extend([0xdc, 0xea, 0x60]);
        wide.extend(std::iter::repeat_n(0x90, 60_000));
    }
    assert_eq!(limits::check(&wide), Err(LimitError::Values));
    assert_eq!(limits::check(&vec![0xc0; MESSAGE_MAX + 1]), Err(LimitError::Size(MESSAGE_MAX + 1)));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan()).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(Value::Binary),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::Array),
            vec((inner.clone(), inner), 0..8).prop_map(Value::Map),
        ]
    })
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<u64>(), "/[a-z_]{1,20}/[a-z_]{1,20}", vec(values(), 0..4))
            .prop_map(|(id, method, params)| Message::Request { id, method, params }),
        ("/[a-z_]{1,20}/[a-z_]{1,20}", vec(values(), 0..4))
            .prop_map(|(method, params)| Message::Notification { method, params }),
        (any::<u64>(), values()).prop_map(|(id, result)| Message::Response { id, outcome: Ok(result) }),
        (any::<u64>(), any::<i64>(), ".{0,40}").prop_map(|(id, code, message)| Message::Response {
            id,
            outcome: Err(Fault::new(code, message))
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in messages()) {
        prop_assert_eq!(Message::decode(&message.clone().encode()), Ok(message));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..2000)) {
        let _read = Message::decode(&bytes);
    }

    #[test]
    fn a_frame_with_a_flipped_byte_is_read_or_refused(message in messages(), at in any::<usize>(), to in any::<u8>()) {
        let mut bytes = message.encode();
        let at = at % bytes.len();
        bytes[at] = to;
        let _read = Message::decode(&bytes);
    }
}
