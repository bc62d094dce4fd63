//! What a server of our own making sees of us. What real servers do is tested with the binary.

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::node::Credentials;
use crate::node::endpoint::{Address, Secret};

const LIMIT: Duration = Duration::from_secs(30);
const EXTENDED: &[u8] = b"*2\r\n$8\r\nextended\r\n$0\r\n\r\n";

fn entry() -> Arc<Entry> {
    Arc::new(Entry {
        keys: vec!["lock:job".to_owned()],
        value: b"0123456789abcdef0123456789abcdef {}".to_vec(),
        ttl: LIMIT,
        stay: LIMIT,
    })
}

/// A node, and where it will connect to.
async fn node() -> (Arc<RedisNode>, TcpListener) {
    node_with(Credentials::default()).await
}

async fn node_with(credentials: Credentials) -> (Arc<RedisNode>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = Endpoint {
        address: Address::Tcp {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().expect("it is bound").port(),
        },
        database: 0,
        credentials,
    };
    let node = RedisNode::new(&endpoint).expect("a plain endpoint");
    (Arc::new(node), listener)
}

/// The next connection, once something was sent over it.
async fn next(listener: &TcpListener) -> TcpStream {
    let (connection, _) = listener.accept().await.expect("somebody connects");
    heard(&connection).await;
    connection
}

/// Waits until something was sent over `connection`.
async fn heard(connection: &TcpStream) {
    let read = || connection.try_read(&mut [0; 16_384]);
    let length = connection.async_io(Interest::READABLE, read).await;
    assert!(length.expect("it is open") > 0, "it was closed");
}

fn say(connection: &TcpStream, reply: &[u8]) {
    let length = connection.try_write(reply);
    assert_eq!(length.expect("it is open"), reply.len());
}

#[tokio::test]
async fn an_old_connection_that_breaks_does_not_take_the_new_one_with_it() {
    let (node, listener) = node().await;
    let extend = || {
        let node = Arc::clone(&node);
        tokio::spawn(async move { node.extend(entry(), 1, LIMIT).await })
    };
    let late = extend();
    let old = next(&listener).await;
    node.reconnect();
    let first = extend();
    let new = next(&listener).await;
    say(&new, EXTENDED);
    assert_eq!(
        first.await.expect("no panic"),
        Ok(Extension::Extended { run_id: None })
    );

    drop(old);
    late.await.expect("no panic").expect_err("it was closed");
    let second = extend();
    tokio::select! {
        () = heard(&new) => {}
        _ = listener.accept() => panic!("another connection was opened"),
    }
    say(&new, EXTENDED);
    assert_eq!(
        second.await.expect("no panic"),
        Ok(Extension::Extended { run_id: None })
    );
}

#[tokio::test]
async fn protected_mode_is_said_in_one_line() {
    let (node, listener) = node().await;
    let asking = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.extend(entry(), 1, LIMIT).await }
    });
    let connection = next(&listener).await;
    say(
        &connection,
        b"-DENIED Redis is running in protected mode because protected mode is enabled and no \
          password is set for the default user. In this mode connections are only accepted from \
          the loopback interface. If you want to connect from external computers to Redis you may \
          adopt one of the following solutions: 1) ...\r\n",
    );
    let refused = asking.await.expect("no panic").expect_err("it was refused");
    let text = refused.to_string();
    assert!(matches!(refused, NodeError::Refused(_)), "{text}");
    assert!(text.ends_with("give it a password"), "{text}");
}

#[tokio::test]
async fn what_a_server_says_before_it_hangs_up_is_heard() {
    let (node, listener) = node().await;
    let greets = async {
        loop {
            let (connection, _) = listener.accept().await.expect("a connection");
            say(&connection, b"-ERR max number of clients reached\r\n");
        }
    };
    // The first command may come too late to be answered by it.
    let failed = tokio::select! {
        () = greets => unreachable!("it greets for ever"),
        answer = node.extend(entry(), 1, LIMIT) => answer.expect_err("it hung up"),
    };
    assert_eq!(failed.to_string(), "max number of clients reached");
}

#[tokio::test]
async fn a_server_that_has_no_room_any_more_is_not_taken_for_one_that_refuses_the_password() {
    let credentials = Credentials {
        user: None,
        password: Some(Secret::new("sesame".to_owned())),
    };
    let (node, listener) = node_with(credentials).await;
    let serves = async {
        let connection = next(&listener).await;
        say(&connection, b"+OK\r\n");
        heard(&connection).await;
        say(&connection, EXTENDED);
    };
    let (first, ()) = tokio::join!(node.extend(entry(), 1, LIMIT), serves);
    assert!(first.is_ok(), "{first:?}");
    node.reconnect();
    let greets = async {
        loop {
            let connection = next(&listener).await;
            say(&connection, b"-ERR max number of clients reached\r\n");
        }
    };
    let failed = tokio::select! {
        () = greets => unreachable!("it greets for ever"),
        answer = node.extend(entry(), 1, LIMIT) => answer.expect_err("it has no room"),
    };
    assert_eq!(failed.to_string(), "max number of clients reached");
}

#[tokio::test]
async fn two_connections_that_are_refused_at_once_both_get_on_with_the_newer_password() {
    let credentials = Credentials {
        user: None,
        password: Some(Secret::renewable("old".to_owned(), || Ok("new".to_owned()))),
    };
    let (node, listener) = node_with(credentials).await;
    let extend = || {
        let node = Arc::clone(&node);
        tokio::spawn(async move { node.extend(entry(), 1, LIMIT).await })
    };
    let first = extend();
    let with_old = next(&listener).await;
    node.reconnect();
    let second = extend();
    let also_with_old = next(&listener).await;
    for (connection, extension) in [(with_old, first), (also_with_old, second)] {
        say(
            &connection,
            b"-WRONGPASS invalid username-password pair\r\n",
        );
        let with_new = next(&listener).await;
        say(&with_new, b"+OK\r\n");
        heard(&with_new).await;
        say(&with_new, EXTENDED);
        extension.await.expect("no panic").expect("it was let in");
    }
}

#[tokio::test]
async fn a_password_that_cannot_be_read_again_is_told_with_the_refusal() {
    let credentials = Credentials {
        user: None,
        password: Some(Secret::renewable("old".to_owned(), || {
            Err("DIR/password is empty".to_owned())
        })),
    };
    let (node, listener) = node_with(credentials).await;
    let refuses = async {
        loop {
            let connection = next(&listener).await;
            say(
                &connection,
                b"-WRONGPASS invalid username-password pair\r\n",
            );
        }
    };
    let failed = tokio::select! {
        () = refuses => unreachable!("it refuses for ever"),
        answer = node.extend(entry(), 1, LIMIT) => answer.expect_err("it refuses"),
    };
    let text = failed.to_string();
    assert!(
        text.ends_with("; its password was not read again: DIR/password is empty"),
        "{text}"
    );
}
