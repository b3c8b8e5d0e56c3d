//! What is agreed before the prompt: an earlier session, and the model.

use super::*;

const CAN_LOAD: (&str, &str) = (
    "initialize",
    r#"{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true},
        "agentInfo":{"name":"an agent","version":"1.2"}}}"#,
);

/// Answers these requests; returns what the driver sent with the last one.
async fn played(
    resume: Option<&str>,
    model: &str,
    answers: &[(&str, &str)],
) -> (Played, Vec<Value>) {
    let settings = AcpSettings {
        model: model.to_owned(),
        ..AcpSettings::default()
    };
    let mut asked = Vec::new();
    let played = drive_from(resume, settings, LIMITS, async |stream, _, _| {
        let mut agent = FakeAgent::new(stream, CancellationToken::new(), Path::new("/"));
        for (method, answer) in answers {
            let request = agent.hear(|heard| heard["method"] == *method).await;
            let answer = answer.replace("ID", &request["id"].to_string());
            asked.push(request["params"].clone());
            for line in answer.lines().collect::<String>().split("@@") {
                let line = format!("{line}\n");
                agent
                    .writer
                    .write_all(line.as_bytes())
                    .await
                    .expect("written");
            }
        }
    })
    .await;
    (played, asked)
}

#[tokio::test]
async fn an_earlier_session_is_continued_and_not_told_again() {
    let told = r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"old","update":
        {"sessionUpdate":"tool_call","toolCallId":"1","title":"old","status":"completed"}}}@@
        {"jsonrpc":"2.0","id":ID,"result":{"models":{"currentModelId":"m"}}}"#;
    let answers = [CAN_LOAD, ("session/load", told), ANSWER];
    let (played, asked) = played(Some("old"), "", &answers).await;
    assert_eq!(
        played.result.end,
        SessionEnd::Completed,
        "{:?}",
        played.result
    );
    assert_eq!(asked[1]["sessionId"], "old");
    assert_eq!(asked[2]["sessionId"], "old");
    let started = AgentEvent::Started {
        session_id: "old".to_owned(),
        model: Some("m".to_owned()),
        agent: "an agent 1.2".to_owned(),
    };
    assert_eq!(played.events, [started]);
}

#[tokio::test]
async fn a_session_that_cannot_be_continued_is_no_failure_of_the_agent() {
    let (cannot, _) = played(Some("old"), "", &[INITIALIZED]).await;
    assert!(cannot.result.unknown_session, "{:?}", cannot.result);
    let refused =
        r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32002,"message":"no such session"}}"#;
    let answers = [CAN_LOAD, ("session/load", refused)];
    let (unknown, _) = played(Some("old"), "", &answers).await;
    assert!(unknown.result.unknown_session, "{:?}", unknown.result);
    assert!(unknown.result.reason.contains("no such session"));
}

#[tokio::test]
async fn the_model_is_set_if_the_agent_offers_a_choice() {
    let option = r#"{"jsonrpc":"2.0","id":ID,"result":{"sessionId":"s",
        "configOptions":[{"id":"model","currentValue":"small","options":[]}]}}"#;
    let models = r#"{"jsonrpc":"2.0","id":ID,"result":{"sessionId":"s",
        "models":{"currentModelId":"small","availableModels":[]}}}"#;
    let done = r#"{"jsonrpc":"2.0","id":ID,"result":{}}"#;
    let refused = r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"unknown model"}}"#;
    for (session, method, key) in [
        (option, "session/set_config_option", "value"),
        (models, "session/set_model", "modelId"),
    ] {
        let answers = [
            INITIALIZED,
            ("session/new", session),
            (method, done),
            ANSWER,
        ];
        let (set, asked) = played(None, "large", &answers).await;
        assert_eq!(set.result.end, SessionEnd::Completed, "{:?}", set.result);
        assert_eq!(asked[2][key], "large", "{asked:?}");
        let model = |event: &AgentEvent| matches!(event, AgentEvent::Started { model: Some(model), .. } if model == "large");
        assert_eq!(set.count(model), 1, "{:?}", set.events);
        let answers = [INITIALIZED, ("session/new", session), (method, refused)];
        let (set, _) = played(None, "large", &answers).await;
        let trouble = FailureKind::Trouble(TroubleKind::Agent);
        assert_eq!(set.result.failure_kind(), Some(trouble));
        assert!(
            set.result.reason.contains("that its key `model` names"),
            "{:?}",
            set.result
        );
        // It is the model already, or nobody asks for one.
        for model in ["small", ""] {
            let answers = [INITIALIZED, ("session/new", session), ANSWER];
            let (kept, _) = played(None, model, &answers).await;
            assert_eq!(kept.result.end, SessionEnd::Completed, "{:?}", kept.result);
        }
    }
    // An agent without a choice keeps its own.
    let (kept, _) = played(None, "large", &[INITIALIZED, SESSION, ANSWER]).await;
    assert_eq!(kept.result.end, SessionEnd::Completed, "{:?}", kept.result);
}
