//! Reads qlogs with the readers of quiche (crate qlog), one of them for version 0.3 of the format.
//! It fails where they find fewer records than there are, or cannot make an event of one.
//!
//!     LAZO_QLOG=DIR go test -count=1 -run QLog ./conn
//!     cargo run -- DIR/*.sqlog

use std::{collections::BTreeMap, env, fs, fs::File, io::BufReader, process::exit};

/// What version 0.18.2 of the crate does not know as the drafts have it: no key_discarded, other
/// names of datagrams_sent and datagrams_received, a text in the place of the map "details", an
/// address of both families in preferred_address, and "handshake_completed".
fn is_known(record: &str, error: &str) -> bool {
    record.contains("\"quic:key_discarded\"")
        || record.contains("\"quic:udp_datagrams_")
        || error.contains("unknown variant `handshake_complete`")
        || record.contains("\"quic:packet_dropped\"") && error.contains("expected a string")
        || record.contains("\"preferred_address\"") && error.contains("missing field `ip_v")
}

/// What version 0.11.0 does not know as the drafts of version 0.3 have it: the same, other names
/// of error spaces and of the type of an unknown frame, and PRIORITY_UPDATE.
fn is_known_03(record: &str, error: &str) -> bool {
    record.contains("\"security:key_discarded\"")
        || error.contains("unknown variant `handshake_complete`")
        || error.contains("unknown variant `application`, expected `transport_error`")
        || error.contains("missing field `raw_frame_type`")
        || record.contains("\"transport:packet_dropped\"") && error.contains("expected a string")
        || record.contains("\"priority_update\"") && error.contains("missing field `target_stream_type`")
}

/// How many events the reader of a crate finds in a file.
macro_rules! count {
    ($qlog:ident, $file:expr) => {
        $qlog::reader::QlogSeqReader::new(Box::new(BufReader::new(File::open($file).expect("the file"))))
            .map(|reader| reader.filter(|e| matches!(e, $qlog::reader::Event::Qlog(_) | $qlog::reader::Event::Json(_))).count())
            .map_err(|e| format!("{e:?}"))
    };
}

fn main() {
    let (mut bad, mut read, mut known) = (0, 0, 0);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for file in env::args().skip(1) {
        let text = fs::read_to_string(&file).expect("the file");
        let old = text.contains("\"qlog_version\":\"0.3\"");
        let records: Vec<&str> = text.split('\u{1e}').skip(2).collect();
        let count = if old { count!(qlog03, &file) } else { count!(qlog, &file) };
        if count != Ok(records.len()) {
            println!("{file}: {count:?} events in {} records", records.len());
            bad += 1;
        }
        for record in records {
            read += 1;
            let error = if old {
                serde_json::from_str::<qlog03::events::Event>(record).err()
            } else {
                serde_json::from_str::<qlog::events::Event>(record).err()
            };
            match error.map(|e| e.to_string()) {
                None => {
                    let name = record.split("\"name\":\"").nth(1).unwrap_or("");
                    *seen.entry(name.split('"').next().unwrap_or("").to_string()).or_default() += 1;
                }
                Some(e) if if old { is_known_03(record, &e) } else { is_known(record, &e) } => known += 1,
                Some(e) => {
                    println!("{file}: {e}: {record}");
                    bad += 1;
                }
            }
        }
    }
    println!("{read} records of {} names, {known} that the crate does not know, {bad} bad", seen.len());
    exit(if bad > 0 || read == 0 { 1 } else { 0 });
}
