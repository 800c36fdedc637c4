//! Splits any content of /proc/PID/cmdline into arguments, and checks that every access method returns the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rta_shared::process::CommandLine;

fuzz_target!(|content: &[u8]| {
    let line = CommandLine::parse(content);
    let arguments: Vec<&[u8]> = line.arguments().collect();
    assert_eq!(arguments.len(), line.len());
    assert_eq!(line.is_empty(), content.is_empty());
    let len = i32::try_from(line.len()).unwrap();
    for (at, argument) in (0..).zip(&arguments) {
        assert!(!argument.contains(&0));
        assert_eq!(line.argument(at), Some(*argument));
        assert_eq!(line.argument(at - len), Some(*argument));
    }
    assert_eq!((line.argument(len), line.argument(-len - 1)), (None, None));
    assert_eq!((line.argument(i32::MAX), line.argument(i32::MIN)), (None, None));

    // A NUL ends each argument; the last one's may be missing.
    let mut whole = content.to_vec();
    if whole.last().is_some_and(|byte| *byte != 0) {
        whole.push(0);
    }
    assert_eq!(CommandLine::from_arguments(&arguments), CommandLine::parse(&whole));

    // A reused buffer contains nothing of the previous command line.
    let mut reused = CommandLine::from_arguments(["java", "", "kafka.Kafka"]);
    let read = |buffer: &mut Vec<u8>| {
        buffer.extend_from_slice(content);
        Ok::<(), ()>(())
    };
    reused.replace_with(read).unwrap();
    assert_eq!(reused, line);
    reused
        .replace_with(|buffer| {
            buffer.extend_from_slice(content);
            Err(())
        })
        .unwrap_err();
    assert!(reused.is_empty());
});
