use super::*;

const FIVE: FeatureId = FeatureId(5);
const SIX: FeatureId = FeatureId(6);
const ONE: &[FeatureId] = &[FIVE];
const TWO: &[FeatureId] = &[FIVE, SIX];

fn fail(reason: &str) -> Claim {
    Claim::Fail(reason.to_owned())
}

fn input(question: &str) -> Claim {
    Claim::Input(question.to_owned())
}

#[test]
fn what_is_certain_is_read() {
    let pass = || vec![(FIVE, Claim::Pass)];
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2], mark: [u8; 2]| {
        let units = text.encode_utf16().flat_map(unit);
        mark.into_iter().chain(units).collect::<Vec<u8>>()
    };
    let plain = r#"{"verdict":"pass"}"#;
    let little = utf16(plain, u16::to_le_bytes, [0xff, 0xfe]);
    let big = utf16(plain, u16::to_be_bytes, [0xfe, 0xff]);
    let table: &[(&[u8], &[FeatureId], Claims)] = &[
        (b"", ONE, vec![]),
        (b" \n", ONE, vec![]),
        (b"\xef\xbb\xbf", ONE, vec![]),
        (b"[]", ONE, vec![]),
        (plain.as_bytes(), ONE, pass()),
        (
            br#"{"feature":5,"verdict":"fail","reason":" no network "}"#,
            ONE,
            vec![(FIVE, fail("no network"))],
        ),
        (
            br#"[{"feature":6,"verdict":"input","question":"Which?"},{"feature":5,"verdict":"pass"}]"#,
            TWO,
            vec![(SIX, input("Which?")), (FIVE, Claim::Pass)],
        ),
        // Ways of wrapping a verdict.
        (b"\xef\xbb\xbf{\"verdict\":\"pass\"}", ONE, pass()),
        (&little, ONE, pass()),
        (&big, ONE, pass()),
        (b"```json\n{\"verdict\":\"pass\"}\n```", ONE, pass()),
        (b"~~~\n{\"verdict\":\"pass\"}\n~~~\n", ONE, pass()),
        (b"Done:\n\n```json\n{\"verdict\":\"pass\"}\n```\nThanks!", ONE, pass()),
        (b"My verdict is {\"verdict\": \"pass\"}. Bye {}", ONE, pass()),
        (b"{\"verdict\":\"pass\"}\ntrailing text", ONE, pass()),
        (b"{\"feature\":5,\"verdict\":\"pass\",}\r\n", ONE, pass()),
        (b"{\"feature\":5,\"verdict\":\"pass\"},", ONE, pass()),
        (
            b"{\"feature\":5,\"verdict\":\"pass\"}\n{\"feature\":6,\"verdict\":\"pass\"}\n",
            TWO,
            vec![(FIVE, Claim::Pass), (SIX, Claim::Pass)],
        ),
        (
            b"{\"verdict\":\"fail\",\"reason\":\"two\nlines\"}",
            ONE,
            vec![(FIVE, fail("two\nlines"))],
        ),
        (
            b"{\"verdict\":\"fail\",\"reason\":\"Gr\xfc\xdfe\"}",
            ONE,
            vec![(FIVE, fail("Gr\u{fffd}\u{fffd}e"))],
        ),
        // Ways of wording a verdict.
        (br#"{"Verdict":" PASSED. "}"#, ONE, pass()),
        (br#"{"feature_id":"5","status":"ok"}"#, TWO, pass()),
        (br##"{"feature":"#5","verdict":"pass"}"##, TWO, pass()),
        (br#"{"feature":"Feature #5","verdict":"pass"}"#, TWO, pass()),
        (br#"{"feature":5.0,"passed":true}"#, TWO, pass()),
        (br#"{"verdict":true,"tests":12}"#, ONE, pass()),
        (b"pass\n", ONE, pass()),
        (b"\"PASS\"", ONE, pass()),
        (b"**passed**", ONE, pass()),
        (
            br#"{"5":"pass","6":{"verdict":"failed","message":"m"}}"#,
            TWO,
            vec![(FIVE, Claim::Pass), (SIX, fail("m"))],
        ),
        (
            br#"{"verdicts":[{"feature":5,"verdict":"pass","note":"x"}]}"#,
            TWO,
            pass(),
        ),
        (
            br#"{"feature":5,"verdict":"needs_input","reason":"Which?"}"#,
            TWO,
            vec![(FIVE, input("Which?"))],
        ),
        (
            br#"{"feature":5,"verdict":"fail"}"#,
            ONE,
            vec![(FIVE, fail("the agent reported a failure without a reason"))],
        ),
        (
            br#"[{"feature":5,"verdict":"pass"},{"feature":5,"verdict":"pass"}]"#,
            TWO,
            pass(),
        ),
    ];
    for (text, features, expected) in table {
        let reading = parse(text, features);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(reading.claims, *expected, "{shown}");
        assert_eq!(reading.note, None, "{shown}");
    }
}

#[test]
fn what_is_not_certain_is_noted_and_nothing_else_is_lost() {
    let long = vec![b' '; VERDICT_BYTES_MAX as usize + 1];
    let half = vec![(SIX, fail("x"))];
    let table: &[(&[u8], Claims, &str)] = &[
        (&long, vec![], "longer than"),
        (b"pass", vec![], "which feature it is about"),
        (b"All is well.", vec![], r#"It begins: "All is well.""#),
        (b"{\"verdict\":\"pa", vec![], "no recognizable verdict"),
        (
            br#"{"verdict":"pass"}"#,
            vec![],
            "which feature it is about",
        ),
        (
            br#"{"feature":5,"verdict":"done"}"#,
            vec![],
            "on feature #5 is \"done\"",
        ),
        (
            br#"{"feature":5,"verdict":7}"#,
            vec![],
            "on feature #5 is \"\"",
        ),
        (
            br#"{"feature":7,"verdict":"pass"}"#,
            vec![],
            "not in this job",
        ),
        (
            br#"{"feature":"x","verdict":"pass"}"#,
            vec![],
            "is not a number",
        ),
        (br#"{"feature":5}"#, vec![], "no `verdict`"),
        (b"17", vec![], "neither an object nor a list"),
        (
            br#"{"feature":5,"verdict":"input","question":" "}"#,
            vec![],
            "but it has no question",
        ),
        (
            br#"{"feature":5,"verdict":"pass","verdict":"fail"}"#,
            vec![],
            "a key twice",
        ),
        (
            br#"[{"feature":5,"verdict":"pass"},{"feature":5,"verdict":"fail"}]"#,
            vec![],
            "different verdicts on feature #5",
        ),
        (
            br#"[{"feature":5,"verdict":"maybe"},{"feature":6,"verdict":"fail","reason":"x"}]"#,
            half,
            "\"maybe\"",
        ),
    ];
    for (text, claims, words) in table {
        let reading = parse(text, TWO);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(reading.claims, *claims, "{shown}");
        let note = reading.note.unwrap_or_default();
        assert!(
            note.contains(words),
            "{shown}: {note:?} should say {words:?}"
        );
        assert!(note.len() < 1_000, "{note}");
    }
}
