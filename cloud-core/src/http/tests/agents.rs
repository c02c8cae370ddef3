//! Listing and operating agents.

use super::{Reply, Served};

fn names(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.json());
    let page = reply.json();
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("id").to_owned()).collect()
}

#[test]
fn agents_are_listed_by_id_and_filtered() {
    let served = Served::new();
    assert_eq!(names(&served.get("/v1/agents")), ["board-1", "board-2", "tram-7"]);
    let first = served.get("/v1/agents?limit=2");
    let cursor = first.json()["next_cursor"].as_str().expect("more").to_owned();
    let second = served.get(&format!("/v1/agents?limit=2&cursor={cursor}"));
    assert_eq!(
        (names(&second), &second.json()["next_cursor"]),
        (vec!["tram-7".to_owned()], &serde_json::Value::Null)
    );
    assert_eq!(names(&served.get("/v1/agents?region=au-south")), ["board-1", "board-2"]);
    assert_eq!(names(&served.get("/v1/agents?label=name=tram-7")), ["tram-7"]);
    assert_eq!(names(&served.get("/v1/agents?label=nothing")), Vec::<String>::new());
    assert_eq!(names(&served.get("/v1/agents?status=online")), Vec::<String>::new());
}

#[test]
fn an_agent_is_shown_and_operated() {
    let served = Served::new();
    let shown = served.get("/v1/agents/board-1").json();
    assert_eq!((&shown["id"], &shown["arch"]), (&"board-1".into(), &"aarch64".into()));
    let flags = |verb: &str| {
        let reply = served.post(&format!("/v1/agents/board-1/{verb}"));
        assert_eq!(reply.status, 200);
        reply.json()["flags"].to_string()
    };
    assert_eq!(flags("cordon"), r#"["cordoned"]"#);
    assert_eq!(flags("cordon"), r#"["cordoned"]"#);
    assert_eq!(flags("drain"), r#"["cordoned","draining"]"#);
    assert_eq!(
        served.get("/v1/agents/board-1").json()["flags"].to_string(),
        r#"["cordoned","draining"]"#
    );
    assert_eq!(flags("uncordon"), "[]");
}

#[test]
fn an_unknown_agent_is_not_found() {
    let served = Served::new();
    for reply in [served.get("/v1/agents/board-9"), served.post("/v1/agents/board-9/drain")] {
        assert_eq!((reply.status, reply.problem().as_str()), (404, "agent-not-found"));
    }
}
