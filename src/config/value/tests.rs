//! What people may write, and what they may not.

use super::*;

#[test]
fn durations_have_a_unit_and_bounds() {
    let read = |text| duration(text, MINUTE, 365 * DAY);
    assert_eq!(read("7d"), Ok(7 * DAY));
    assert_eq!(read("90 s"), Ok(90 * SECOND));
    assert_eq!(read("60000ms"), Ok(MINUTE));
    assert!(read("59s").unwrap_err().contains("too small"));
    assert!(read("366d").unwrap_err().contains("too large"));
    assert!(read("4294967295d").unwrap_err().contains("too large"));
    assert!(read("7").unwrap_err().contains("no unit"));
    for text in [
        "",
        "d",
        "-7d",
        "7w",
        "1h30m",
        "1.5h",
        "7D",
        "４s",
        "99999999999999999999s",
    ] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn durations_are_shown_in_the_largest_whole_unit() {
    for (value, shown) in [
        (7 * DAY, "7d"),
        (90 * SECOND, "90s"),
        (36 * HOUR, "36h"),
        (1500 * MILLISECOND, "1500ms"),
    ] {
        assert_eq!(show_duration(value), shown);
    }
    assert_eq!(show_duration(Duration::ZERO), "0ms");
}

#[test]
fn sizes_take_binary_and_decimal_units() {
    let read = |text| size(text, 1 << 20, 4 << 30);
    assert_eq!(read("30MiB"), Ok(30 << 20));
    assert_eq!(read("30 mib"), Ok(30 << 20));
    assert_eq!(read("30MB"), Ok(30_000_000));
    assert_eq!(read("1048576"), Ok(1 << 20));
    assert_eq!(read("4GiB"), Ok(4 << 30));
    assert!(read("1048575").unwrap_err().contains("too small"));
    assert!(read("4294967297").unwrap_err().contains("too large"));
    assert!(read("18446744073709551615GiB").unwrap_err().contains("too large"));
    for text in ["", "MiB", "30M", "-1MiB", "1.5GiB", "18446744073709551616"] {
        assert!(read(text).is_err(), "{text:?}");
    }
    for (bytes, shown) in [
        (30 << 20, "30MiB"),
        (30_000_000, "30MB"),
        (1 << 30, "1GiB"),
        (1_048_577, "1048577B"),
    ] {
        assert_eq!(show_size(bytes), shown);
    }
}

#[test]
fn offsets_are_those_of_places() {
    assert_eq!(utc_offset("+08:00"), Ok(UtcOffset::from_hms(8, 0, 0).unwrap()));
    assert_eq!(utc_offset("-03:30"), Ok(UtcOffset::from_hms(-3, -30, 0).unwrap()));
    assert_eq!(utc_offset("Z"), Ok(UtcOffset::UTC));
    for text in ["-03:30", "+00:00", "-00:30", "+14:00"] {
        assert_eq!(show_utc_offset(utc_offset(text).unwrap()), text);
    }
    for text in [
        "",
        "8",
        "+8",
        "+8:00",
        "08:00",
        "+14:01",
        "+08:60",
        "+08:00:00",
        "+é8:00",
        "UTC",
    ] {
        assert!(utc_offset(text).is_err(), "{text:?}");
    }
}

#[test]
fn listen_wants_an_address_and_a_port() {
    for text in ["127.0.0.1:8080", "0.0.0.0:80", "[::1]:8080", "[::]:0"] {
        assert_eq!(address(text).unwrap().to_string(), text);
    }
    for text in [
        "8080",
        ":8080",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:65536",
        "::1:8080x",
    ] {
        assert!(address(text).unwrap_err().contains("127.0.0.1:8080"), "{text:?}");
    }
}

#[test]
fn a_public_url_is_a_plain_base() {
    let read = |text: &str| public_url(text).unwrap().unwrap();
    assert_eq!(read("https://video.example/"), "https://video.example");
    assert_eq!(read("http://10.0.2.2:8080/camp/"), "http://10.0.2.2:8080/camp");
    assert_eq!(public_url("auto"), Ok(None));
    for text in [
        "",
        "video.example",
        "ftp://video.example",
        "https://",
        "https://x/?a=1",
        "https://x/#top",
        "/camp",
    ] {
        assert!(public_url(text).is_err(), "{text:?}");
    }
    let refused = public_url("https://ann:hunter2@video.example").unwrap_err();
    assert!(refused.contains("password") && !refused.contains("hunter2"));
}

#[test]
fn a_misspelt_level_is_not_taken_as_a_module() {
    for text in ["info", "off", "warn,ovation::media=debug"] {
        assert_eq!(log_filter(text), Ok(text.to_owned()));
    }
    assert_eq!(log_filter("info, ovation=trace").unwrap(), "info,ovation=trace");
    assert!(log_filter("inof").unwrap_err().contains("`inof`"));
    for text in ["", "info,", "ovation=loud"] {
        assert!(log_filter(text).is_err(), "{text:?}");
    }
}

#[test]
fn numbers_keep_their_bounds() {
    assert_eq!(number("256", 1_u32, 256), Ok(256));
    for text in ["0", "257", "-1", "4.0", "", "many"] {
        assert!(number(text, 1_u32, 256).is_err(), "{text:?}");
    }
}

#[test]
fn what_an_error_quotes_is_short_and_printable() {
    assert_eq!(quoted("a\nb"), "`a\\nb`");
    assert_eq!(quoted(&"x".repeat(10_000)).chars().count(), 63);
}
