//! Any bytes are a message or are refused; what is read as a call of an agent never ends the process, and what is
//! written of a message is read as the same.
#![no_main]

use kontena_wire::agent::Call;
use kontena_wire::rpc::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let Ok(message) = Message::decode(frame) else { return };
    if let Message::Request { method, params, .. } | Message::Notification { method, params } = &message {
        let _read = Call::parse(method, params);
    }
    let written = message.encode();
    assert!(Message::decode(&written).is_ok(), "what was written is not read");
});
