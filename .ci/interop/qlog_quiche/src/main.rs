//! Reads qlogs with the reader of quiche (crate qlog), and fails where it finds fewer records than
//! there are, or cannot make an event of one.
//!
//!     LAZO_QLOG=DIR go test -count=1 -run Story ./conn
//!     cargo run -- DIR/*.sqlog

use qlog::reader::{Event, QlogSeqReader};
use std::{collections::BTreeMap, env, fs, fs::File, io::BufReader, process::exit};

/// What version 0.18.2 of the crate does not know as the drafts have it: no key_discarded, a text
/// in the place of the map "details", an address of both families in preferred_address, and
/// "handshake_completed".
fn is_known(record: &str, error: &str) -> bool {
    record.contains("\"quic:key_discarded\"")
        || error.contains("unknown variant `handshake_complete`")
        || record.contains("\"quic:packet_dropped\"") && error.contains("expected a string")
        || record.contains("\"preferred_address\"") && error.contains("missing field `ip_v")
}

fn main() {
    let (mut bad, mut read, mut known) = (0, 0, 0);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for file in env::args().skip(1) {
        let text = fs::read_to_string(&file).expect("the file");
        let records: Vec<&str> = text.split('\u{1e}').skip(2).collect();
        match QlogSeqReader::new(Box::new(BufReader::new(File::open(&file).expect("the file")))) {
            Err(e) => {
                println!("{file}: {e:?}");
                bad += 1;
            }
            Ok(reader) => {
                let n = reader.map(|e| matches!(e, Event::Qlog(_) | Event::Json(_))).count();
                if n != records.len() {
                    println!("{file}: {n} events in {} records", records.len());
                    bad += 1;
                }
            }
        }
        for record in records {
            read += 1;
            match serde_json::from_str::<qlog::events::Event>(record) {
                Ok(_) => {
                    let name = record.split("\"name\":\"").nth(1).unwrap_or("");
                    *seen.entry(name.split('"').next().unwrap_or("").to_string()).or_default() += 1;
                }
                Err(e) if is_known(record, &e.to_string()) => known += 1,
                Err(e) => {
                    println!("{file}: {e}: {record}");
                    bad += 1;
                }
            }
        }
    }
    println!("{read} records of {} names, {known} that the crate does not know, {bad} bad", seen.len());
    exit(if bad > 0 || read == 0 { 1 } else { 0 });
}
