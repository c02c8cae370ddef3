//! A whole core on loopback: it starts, serves, keeps what it acknowledged, and shares its data
//! folder with no other.

use std::path::Path;
use std::time::Duration;

use cloud_core_logic::Answer;
use shared::spec::{Run, TaskSpec};

use shared_runtime::clock::Clock;

use super::*;
use crate::config::BrokerChoice;

fn config(data: &Path) -> Config {
    let mut config = Config::with_data(data).expect("defaults");
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.broker = BrokerChoice::Embedded(crate::broker::BrokerSettings::plain(listen));
    config
}

async fn ready(app: &RunningApp) {
    for _ in 0..500 {
        if app.core.is_ready().is_ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not ready: {:?}", app.core.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_starts_works_stops_and_comes_back() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let app = App::start(config(&data)).await.expect("start");
    assert!(app.broker_addr.is_some() && app.broker_url.starts_with("mqtt://127.0.0.1:"));
    ready(&app).await;
    let spec = TaskSpec::new(Run::Noop {}).into();
    let Ok(Answer::Submitted(task)) = app.core.submit(spec, None, None).await else {
        panic!("not submitted")
    };
    let token = JoinToken::from_file(&data.join("join-token")).expect("a private file");
    app.stop().await.expect("in order");

    let app = App::start(config(&data)).await.expect("again");
    ready(&app).await;
    assert!(app.core.reader().task(task.summary.id).expect("read").is_some());
    let id = "a".parse().expect("an id");
    let same = app.join_token.join_key(&id) == token.join_key(&id);
    assert!(same, "the token is made once");
    app.stop().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cores_never_share_a_data_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let first = App::start(config(folder.path())).await.expect("start");
    let Err(error) = App::start(config(folder.path())).await else { panic!("shared") };
    assert!(matches!(error, AppError::InUse { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains(&format!("(process {})", std::process::id())), "{said}");
    first.stop().await.expect("in order");
    App::start(config(folder.path())).await.expect("free again").stop().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_token_file_that_is_missing_is_not_made_up() {
    let folder = tempfile::tempdir().expect("folder");
    let mut config = config(folder.path());
    config.join_token_file = folder.path().join("token");
    config.join_token_made = false;
    let Err(error) = App::start(config).await else { panic!("started") };
    assert!(error.to_string().contains("cannot read the secret"), "{error}");
    assert!(!folder.path().join("token").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_leaves_the_core_up_and_not_ready() {
    let folder = tempfile::tempdir().expect("folder");
    let mut config = config(folder.path());
    config.broker = BrokerChoice::External(crate::config::ExternalBroker {
        host: "127.0.0.1".to_owned(),
        port: 1,
        tls: false,
        ca_file: None,
        username: None,
        password_file: None,
    });
    let app = App::start(config).await.expect("start");
    let spec = TaskSpec::new(Run::Noop {}).into();
    assert!(matches!(app.core.submit(spec, None, None).await, Ok(Answer::Submitted(_))));
    assert_eq!(app.core.is_ready().reasons(), ["the link to the broker is down"]);
    app.stop().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_written_beside_a_core_and_put_back_only_without_one() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let file = folder.path().join("backup");
    let app = App::start(config(&data)).await.expect("start");
    let submit = async |app: &RunningApp| {
        let spec = TaskSpec::new(Run::Noop {}).into();
        match app.core.submit(spec, None, None).await {
            Ok(Answer::Submitted(task)) => task.summary.id,
            other => panic!("not submitted: {other:?}"),
        }
    };
    let before = submit(&app).await;
    backup::write(&config(&data), &file).expect("a backup");
    let after = submit(&app).await;
    let error = backup::restore(&config(&data), &file).expect_err("a core runs");
    assert!(matches!(error, AppError::InUse { .. }), "{error}");
    app.stop().await.expect("in order");

    let put_back = backup::restore(&config(&data), &file).expect("put back");
    assert!(put_back.kept.is_some_and(|kept| kept.starts_with(&data)));
    let app = App::start(config(&data)).await.expect("again");
    let task = |id| app.core.reader().task(id).expect("read");
    assert!(task(before).is_some() && task(after).is_none());
    app.stop().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_without_a_token_listens_for_no_stranger() {
    use crate::access::{Role, TokenFile, Wish};
    let folder = tempfile::tempdir().expect("folder");
    let everywhere = |allowed| {
        let mut config = config(folder.path());
        config.http.listen = SocketAddr::from(([0, 0, 0, 0], 0));
        config.allow_remote_without_token = allowed;
        config
    };
    let Err(error) = App::start(everywhere(false)).await else { panic!("open to all") };
    let said = error.to_string();
    assert!(said.contains("ambit token create") && said.contains("allow_remote"), "{said}");
    App::start(everywhere(true)).await.expect("behind a proxy").stop().await.expect("in order");
    let name = "op".parse().expect("name");
    let wish = Wish { name, role: Role::Operator, expires_in_s: None };
    let now = Clock::new().now().wall;
    TokenFile::of(folder.path()).create(wish, now).expect("create");
    App::start(everywhere(false)).await.expect("with a token").stop().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_with_a_certificate_and_nothing_with_a_wrong_one() {
    use crate::http::HttpTls;
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    let words = "req -x509 -newkey ed25519 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1";
    let made = std::process::Command::new("openssl")
        .args(words.split(' '))
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("cert.pem"))
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
    let with = |certificate: &str| {
        let mut config = config(&path("data"));
        let (certificate, key) = (path(certificate), path("key.pem"));
        config.http.tls = Some(HttpTls { certificate, key });
        config
    };
    let Err(error) = App::start(with("key.pem")).await else { panic!("no certificate") };
    assert!(error.to_string().contains("PEM file with the certificate chain"), "{error}");
    let app = App::start(with("cert.pem")).await.expect("start");
    assert!(app.http_url.starts_with("https://127.0.0.1:"));
    let (address, ca) = (app.http_addr.to_string(), path("cert.pem"));
    let answer = tokio::task::spawn_blocking(move || {
        let mut client = std::process::Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-connect", &address, "-CAfile"])
            .arg(ca)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("openssl is installed");
        let request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut input = client.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, request).expect("written");
        client.wait_with_output().expect("an end")
    });
    let answer = answer.await.expect("asked");
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.ends_with(r#"{"status":"live"}"#), "{answer:?}");
    app.stop().await.expect("in order");
}
