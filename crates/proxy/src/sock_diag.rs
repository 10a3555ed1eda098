//! Whose socket is at the other end of a loopback TCP connection. The kernel tells (sock_diag(7), Linux alone): for one
//! connection, at once, and to unprivileged callers too.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// `NLMSG_ERROR` of linux/netlink.h.
const ERROR: u16 = 2;
/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of linux/netlink.h.
const REQUEST: u16 = 1;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// A `struct nlmsghdr`, and with it a `struct inet_diag_req_v2` or a `struct inet_diag_msg` (linux/inet_diag.h).
const HEADER: usize = 16;
const ASKED: usize = HEADER + 56;
const TOLD: usize = HEADER + 72;
/// States (net/tcp_states.h) of a socket that a process still holds: established, both finish waits, close wait.
const HELD: [u8; 4] = [1, 4, 5, 8];

/// The user id of the process that holds the socket which is bound to `peer` and connected to `local`.
///
/// # Errors
/// When there is no such socket on this machine (or in this network namespace), or nobody holds it any more: the kernel
/// would say that those are root's.
pub(crate) fn owner(peer: SocketAddr, local: SocketAddr) -> io::Result<u32> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
    rustix::net::send(&socket, &request(peer, local)?, SendFlags::empty())?;
    // The kernel has answered by the time that the question is sent.
    let mut answer = [0; 512];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    read(&answer[..length], peer, local)
}

fn request(peer: SocketAddr, local: SocketAddr) -> io::Result<[u8; ASKED]> {
    let family = match (peer.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => AddressFamily::INET,
        (IpAddr::V6(_), IpAddr::V6(_)) => AddressFamily::INET6,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let mut bytes = [0; ASKED];
    bytes[..4].copy_from_slice(&(ASKED as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    bytes[16] = family.as_raw() as u8;
    bytes[17] = TCP;
    bytes[20..24].copy_from_slice(&u32::MAX.to_ne_bytes()); // any state
    bytes[24..60].copy_from_slice(&connection(peer, local));
    bytes[64..72].copy_from_slice(&[0xff; 8]); // no cookie
    Ok(bytes)
}

/// The ports and addresses of a `struct inet_diag_sockid`, in network order.
fn connection(peer: SocketAddr, local: SocketAddr) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..2].copy_from_slice(&peer.port().to_be_bytes());
    bytes[2..4].copy_from_slice(&local.port().to_be_bytes());
    for (address, place) in [(peer, 4), (local, 20)] {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => bytes[place..place + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[place..place + 16].copy_from_slice(&ip.octets()),
        }
    }
    bytes
}

fn read(answer: &[u8], peer: SocketAddr, local: SocketAddr) -> io::Result<u32> {
    let word = |place: usize| answer.get(place..place + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match kind {
        Some(ERROR) => {
            let code = word(HEADER).unwrap_or_default().cast_signed();
            Err(if code == 0 { io::ErrorKind::InvalidData.into() } else { io::Error::from_raw_os_error(code.wrapping_neg()) })
        }
        Some(BY_FAMILY) if answer.len() >= TOLD => {
            let (state, ports) = (answer[HEADER + 1], &answer[HEADER + 4..HEADER + 8]);
            let (uid, inode) = (word(HEADER + 64).unwrap_or_default(), word(HEADER + 68).unwrap_or_default());
            // Without the ports a listener that happens to have the peer's port would answer; without an inode there is no
            // process, and the user id is 0 whoever it was.
            if HELD.contains(&state) && inode != 0 && *ports == connection(peer, local)[..4] {
                Ok(uid)
            } else {
                Err(io::ErrorKind::NotConnected.into())
            }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_whose_connection_it_is() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let uid = owner(peer, server.local_addr().unwrap()).unwrap();
            assert_eq!(uid, rustix::process::geteuid().as_raw(), "{address}");
            drop(client);
            // Whoever held it, nobody does now.
            assert!(owner(peer, server.local_addr().unwrap()).is_err(), "{address}");
        }
    }

    #[test]
    fn a_connection_that_is_not_there_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        assert!(owner("127.0.0.1:1".parse().unwrap(), here).is_err());
        // A listener that has the port is not the peer.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(owner(other.local_addr().unwrap(), here).is_err());
        assert!(owner("[::1]:1".parse().unwrap(), here).is_err());
    }

    #[test]
    fn no_answer_panics_and_none_without_a_holder_counts() {
        let (peer, local) = ("127.0.0.1:2".parse().unwrap(), "127.0.0.1:3".parse().unwrap());
        let mut answer = vec![0; TOLD];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        answer[HEADER + 1] = 1;
        answer[HEADER + 4..HEADER + 8].copy_from_slice(&[0, 2, 0, 3]);
        answer[HEADER + 64..HEADER + 68].copy_from_slice(&1000u32.to_ne_bytes());
        assert!(read(&answer, peer, local).is_err(), "no inode");
        answer[HEADER + 68] = 1;
        assert_eq!(read(&answer, peer, local).unwrap(), 1000);
        answer[HEADER + 1] = 6;
        assert!(read(&answer, peer, local).is_err(), "time wait");
        for end in 0..TOLD {
            assert!(read(&answer[..end], peer, local).is_err(), "{end}");
        }
    }
}
