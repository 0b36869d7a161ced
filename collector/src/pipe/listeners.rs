//! Who listens at an address of this machine, as the kernel tells it: what may be removed is believed only
//! from users who may be the collector, lest a task that listens in its place has others' lines removed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// The most that is read of a list of sockets: some hundred thousand that listen.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The state of a socket that listens.
const LISTENS: &str = "0A";

/// Who is believed to be the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Whoever answers.
    Anyone,
    /// A process of one of these users, by number, that listens on this machine.
    Users(Vec<u32>),
}

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    uid: u32,
    /// Another one if the socket is closed and somebody listens there again.
    inode: u64,
}

/// Why whoever answers at an address is not asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Distrust {
    #[error("nobody on this machine listens at '{at}'")]
    Nobody { at: String },
    #[error(
        "user {uid} listens at '{at}', who may not say which rotated files can be removed: if that is the collector, name its user with --collector-user"
    )]
    User { at: String, uid: u32 },
    #[error(
        "cannot tell who listens at '{at}', and does not ask there (--collector-user any would ask all the same): {source}"
    )]
    Unknown { at: String, source: io::Error },
}

impl Trusted {
    /// The sockets that listen at a URL's address; equal ones, before and after a question, say that
    /// nobody else can have answered it. None where it is all the same who does.
    ///
    /// # Errors
    /// Somebody else listens there, or nobody, or it cannot be told who does.
    pub(super) fn listening_at(&self, url: &str) -> Result<Vec<Listener>, Distrust> {
        let Self::Users(users) = self else { return Ok(Vec::new()) };
        let at = || url.to_owned();
        let unknown = |source| Distrust::Unknown { at: at(), source };
        let mut found = Vec::new();
        for address in addresses(url).map_err(unknown)? {
            found.extend(listening(address).map_err(unknown)?);
        }
        match found.iter().find(|listener| !users.contains(&listener.uid)) {
            Some(other) => Err(Distrust::User { at: at(), uid: other.uid }),
            None if found.is_empty() => Err(Distrust::Nobody { at: at() }),
            None => Ok(found),
        }
    }
}

/// All addresses to which a request to this URL may go.
fn addresses(url: &str) -> io::Result<Vec<SocketAddr>> {
    let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
    let url: ureq::http::Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
    let host = url.host().ok_or_else(|| wrong("it names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    Ok((host, url.port_u16().unwrap_or(usual)).to_socket_addrs()?.collect())
}

/// The sockets that get connections to an address; none if it is another machine's, or nobody listens.
fn listening(address: SocketAddr) -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for list in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        match File::open(list) {
            Ok(file) => find(BufReader::new(file.take(LIST_BYTES_MAX)), address, &mut found)?,
            // A machine without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && list.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    // The kernel prefers who listens at the address itself.
    let best = found.iter().map(|(rank, _)| *rank).min();
    Ok(found.into_iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, one)| one).collect())
}

/// How well a listening socket fits an address, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Itself,
    AllOfItsKind,
    /// All of IPv6, which may be all of IPv4 too.
    All,
}

fn find(
    mut list: impl BufRead,
    address: SocketAddr,
    found: &mut Vec<(Rank, Listener)>,
) -> io::Result<()> {
    let mut line = String::new();
    // A heading.
    list.read_line(&mut line)?;
    loop {
        line.clear();
        if list.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let Some((local, state, listener)) = parse(&line) else { continue };
        if state != LISTENS {
            // Those that listen come first, and of the others there may be very many.
            return Ok(());
        }
        if local.port() == address.port()
            && let Some(rank) = rank(local.ip(), address.ip())
        {
            found.push((rank, listener));
        }
    }
}

fn rank(local: IpAddr, asked: IpAddr) -> Option<Rank> {
    match (local.to_canonical(), asked.to_canonical()) {
        (local, asked) if local == asked => Some(Rank::Itself),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_)) => Some(Rank::AllOfItsKind),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => Some(Rank::AllOfItsKind),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) => Some(Rank::All),
        _ => None,
    }
}

/// A line of `/proc/net/tcp`: number, local address, remote one, state, two of queues, one of timeouts,
/// user, another timeout, inode.
fn parse(line: &str) -> Option<(SocketAddr, &str, Listener)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some((address, state, Listener { uid, inode }))
}

/// Words of four bytes, each as a number of this machine.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |n: usize| {
        let word = u32::from_str_radix(hex.get(8 * n..8 * (n + 1))?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (n, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(n)?);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn url(listener: &TcpListener) -> String {
        format!("http://{}/", listener.local_addr().expect("bound"))
    }

    fn me() -> Trusted {
        Trusted::Users(vec![rustix::process::geteuid().as_raw()])
    }

    #[test]
    fn the_user_of_a_socket_is_known_and_another_socket_is_another() {
        let first = TcpListener::bind("127.0.0.1:0").expect("bind");
        let at = url(&first);
        let before = me().listening_at(&at).expect("mine");
        assert_eq!(before.len(), 1);
        assert_eq!(me().listening_at(&at).expect("still mine"), before);
        let others = Trusted::Users(vec![4_000_000_000]);
        let error = others.listening_at(&at).expect_err("mine").to_string();
        assert!(error.contains("--collector-user") && error.contains(&at), "{error}");
        assert_eq!(Trusted::Anyone.listening_at(&at).expect("believed"), []);
        let address = first.local_addr().expect("bound");
        drop(first);
        assert!(matches!(me().listening_at(&at), Err(Distrust::Nobody { .. })));
        let again = TcpListener::bind(address).expect("bind");
        assert_ne!(me().listening_at(&url(&again)).expect("mine"), before);
    }

    #[test]
    fn all_addresses_include_this_one() {
        for address in ["0.0.0.0:0", "[::]:0"] {
            // A machine without IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().expect("bound").port();
            let found = me().listening_at(&format!("http://127.0.0.1:{port}")).expect("mine");
            assert_eq!(found.len(), 1, "{address}");
        }
    }

    #[test]
    fn who_listens_at_the_address_itself_comes_first() {
        let v4 = |ip: [u8; 4]| IpAddr::from(ip);
        let (any4, any6) = (v4([0; 4]), IpAddr::from([0u8; 16]));
        let asked = v4([127, 0, 0, 1]);
        let mapped = "::ffff:127.0.0.1".parse().expect("an address");
        let ranks = [asked, mapped, any4, any6].map(|local| rank(local, asked));
        let expected = [Rank::Itself, Rank::Itself, Rank::AllOfItsKind, Rank::All];
        assert_eq!(ranks, expected.map(Some));
        assert_eq!(rank(v4([10, 0, 0, 1]), asked), None);
        assert_eq!(rank(any4, "::1".parse().expect("an address")), None);
    }

    #[test]
    fn lists_end_where_sockets_do_not_listen_and_nonsense_is_passed_over() {
        let word = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let local = word([127, 0, 0, 1]);
        let line = |state: &str, uid: u32, inode: u64| {
            format!(
                "   0: {local}:1CF4 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0000000000000000 100 0 0 10 0\n"
            )
        };
        let list = ["heading\n", "x\n", "1: zz:1 0 0A 0 0 0 0 0 0\n"].concat()
            + &line("0A", 7, 8)
            + &line("01", 9, 10)
            + &line("0A", 11, 12);
        let mut found = Vec::new();
        let asked = "127.0.0.1:7412".parse().expect("an address");
        find(list.as_bytes(), asked, &mut found).expect("read");
        assert_eq!(found, [(Rank::Itself, Listener { uid: 7, inode: 8 })]);
        assert!(addresses("http://[::1]:5/").expect("parsed")[0].is_ipv6());
        assert!(addresses("/nothing").is_err());
    }
}
