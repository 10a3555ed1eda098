use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// A socket on the clock: the far end has sent much and now says nothing.
async fn paced() -> (Paced, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let mut near = Paced::new(near);
    let sending = async {
        far.write_all(&vec![b'x'; LONG]).await.unwrap();
        far
    };
    let receiving = async {
        let mut buffer = vec![0; 1 << 20];
        let mut left = LONG;
        while left > 0 {
            left -= near.read(&mut buffer[..left.min(1 << 20)]).await.unwrap();
        }
    };
    let (far, ()) = tokio::join!(sending, receiving);
    assert!(is_waiting(&mut near).await && is_paced(&near));
    (near, far)
}

async fn is_waiting(near: &mut Paced) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *near).poll_read(cx, &mut ReadBuf::new(&mut [0; 16])).is_pending())).await
}

fn is_paced(socket: &Paced) -> bool {
    matches!(socket.state, State::Paced { .. })
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_long_stream_is_not_stuck() {
    let (mut near, mut far) = paced().await;
    far.write_all(b"tail").await.unwrap();
    let mut seen = [0; 16];
    assert_eq!(near.read(&mut seen).await.unwrap(), 4);
    assert!(!is_paced(&near), "so few bytes wake again");
    far.write_all(b"more!").await.unwrap();
    assert_eq!(near.read(&mut seen).await.unwrap(), 5);
    assert_eq!(&seen[..5], b"more!");
    assert!(is_waiting(&mut near).await && !is_paced(&near), "a trickle is not paced");
    drop(far);
    assert_eq!(near.read(&mut seen).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_leaves_a_paced_socket_is_noticed() {
    let (mut near, far) = paced().await;
    drop(far);
    assert_eq!(near.read(&mut [0; 4]).await.unwrap(), 0);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_the_pace_and_wakes_who_waits() {
    let (mut near, mut far) = paced().await;
    let reader = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&reader));
    let waits = Pin::new(&mut near).poll_read(&mut Context::from_waker(&waker), &mut ReadBuf::new(&mut [0; 16]));
    assert!(waits.is_pending() && is_paced(&near));
    near.write_all(b"question").await.unwrap();
    assert!(!is_paced(&near) && reader.0.load(Ordering::Relaxed) == 1);
    far.read_exact(&mut [0; 8]).await.unwrap();
    far.write_all(b"answer").await.unwrap();
    let mut seen = [0; 6];
    near.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"answer");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_on_stays_paced() {
    let (mut near, mut far) = paced().await;
    let sending = async {
        far.write_all(&vec![b'y'; 2 * LONG]).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let mut seen = Vec::new();
    let (read, ()) = tokio::join!(near.read_to_end(&mut seen), sending);
    read.unwrap();
    assert!(seen.len() == 2 * LONG && seen.iter().all(|byte| *byte == b'y'));
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_write_keeps_the_socket_watched() {
    let (mut near, mut far) = paced().await;
    let chunk = vec![b'z'; 1 << 20];
    let full = |cx: &mut Context<'_>| {
        while Pin::new(&mut near).poll_write(cx, &chunk).is_ready() {}
        Poll::Ready(())
    };
    std::future::poll_fn(full).await;
    near.run = LONG;
    assert!(is_waiting(&mut near).await && !is_paced(&near), "the clock would not tell it that there is room");
    far.write_all(b"still here").await.unwrap();
    let mut seen = [0; 10];
    near.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"still here");
}
