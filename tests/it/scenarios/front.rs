//! Stands before librdkafka's mock of a broker and adds what a collector asks of a topic and the mock does
//! not know: a controller, and an answer to DescribeConfigs. All else passes through as it is.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const METADATA: u16 = 3;
const API_VERSIONS: u16 = 18;
const DESCRIBE_CONFIGS: u16 = 32;
/// What the mock calls itself; a hexadecimal number follows.
const CLUSTER: &[u8] = b"mockCluster";
/// The number of the mock's only broker.
const BROKER: [u8; 4] = [0, 0, 0, 1];
const HOST: &[u8] = b"127.0.0.1";
const TOPIC_AUTHORIZATION_FAILED: [u8; 2] = [0, 29];
const FRAME_BYTES_MAX: usize = 100 << 20;

/// Listens before the broker for as long as this process lives; gives its address.
pub(super) fn before(broker: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let broker = broker.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let broker = broker.clone();
            std::thread::spawn(move || serve(client, &broker, address.port()));
        }
    });
    address.to_string()
}

/// One connection: its requests that wait for an answer by their number, and who may write to the client.
struct Connection {
    asked: Mutex<HashMap<[u8; 4], u16>>,
    client: Mutex<TcpStream>,
    port: u16,
}

fn serve(client: TcpStream, broker: &str, port: u16) {
    // A broker that is down: the client finds its connection closed.
    let Ok(broker) = TcpStream::connect(broker) else { return };
    let writer = Mutex::new(client.try_clone().unwrap());
    let connection = Arc::new(Connection { asked: Mutex::default(), client: writer, port });
    let (answers, told) = (broker.try_clone().unwrap(), connection.clone());
    let back = std::thread::spawn(move || {
        let ended = told.answers(&answers);
        // What ends on one side ends on both.
        told.client.lock().unwrap().shutdown(Shutdown::Both).and(ended).unwrap_or_default();
    });
    connection.requests(&client, &broker).unwrap_or_default();
    broker.shutdown(Shutdown::Both).unwrap_or_default();
    back.join().unwrap();
}

impl Connection {
    fn requests(&self, mut client: &TcpStream, mut broker: &TcpStream) -> io::Result<()> {
        loop {
            let request = read_frame(&mut client)?;
            let (key, number) = (u16::from_be_bytes([request[0], request[1]]), four(&request[4..]));
            if key == DESCRIBE_CONFIGS {
                write_frame(&mut *self.client.lock().unwrap(), &settings_are_secret(&request))?;
            } else {
                self.asked.lock().unwrap().insert(number, key);
                write_frame(&mut broker, &request)?;
            }
        }
    }

    fn answers(&self, mut broker: &TcpStream) -> io::Result<()> {
        loop {
            let mut answer = read_frame(&mut broker)?;
            match self.asked.lock().unwrap().remove(&four(&answer)) {
                Some(API_VERSIONS) => add_describe_configs(&mut answer),
                Some(METADATA) => name_controller(&mut answer),
                _ => {}
            }
            lead_here(&mut answer, self.port);
            write_frame(&mut *self.client.lock().unwrap(), &answer)?;
        }
    }
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes[..4].try_into().expect("four bytes")
}

fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    assert!((4..FRAME_BYTES_MAX).contains(&length), "a frame of {length} bytes");
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    to.write_all(&[&(frame.len() as u32).to_be_bytes()[..], frame].concat())
}

/// Behind number, error and count, each entry has three numbers of two bytes. A client that asked in too
/// new a version is told so, in another form, and asks again.
fn add_describe_configs(answer: &mut Vec<u8>) {
    if answer[4..6] != [0, 0] {
        return;
    }
    let count = u32::from_be_bytes(four(&answer[6..]));
    answer[6..10].copy_from_slice(&(count + 1).to_be_bytes());
    let end = 10 + count as usize * 6;
    let entry = [DESCRIBE_CONFIGS, 1, 1].map(u16::to_be_bytes).concat();
    answer.splice(end..end, entry);
}

/// The controller's number stands behind the cluster's name.
fn name_controller(answer: &mut [u8]) {
    if let Some(at) = memchr::memmem::find(answer, CLUSTER) {
        let name = answer[at + CLUSTER.len()..].iter().take_while(|byte| byte.is_ascii_hexdigit());
        let end = at + CLUSTER.len() + name.count();
        answer[end..end + 4].copy_from_slice(&BROKER);
    }
}

/// Wherever the broker names its address, the client is to come here.
fn lead_here(answer: &mut [u8], port: u16) {
    let hosts: Vec<usize> = memchr::memmem::find_iter(answer, HOST).collect();
    for at in hosts {
        let port_at = at + HOST.len();
        if let Some(place) = answer.get_mut(port_at..port_at + 4) {
            place.copy_from_slice(&u32::from(port).to_be_bytes());
        }
    }
}

/// The topic's settings may not be seen: a collector takes such a topic as it is.
fn settings_are_secret(request: &[u8]) -> Vec<u8> {
    // Behind key, version and number stand the client's name and the count of resources: one, of type
    // and name.
    let client = usize::from(u16::from_be_bytes([request[8], request[9]]));
    let resource = 10 + client + 4;
    let name_length =
        usize::from(u16::from_be_bytes([request[resource + 1], request[resource + 2]]));
    let resource = &request[resource..resource + 3 + name_length];
    let mut answer = four(&request[4..]).to_vec();
    // Not held up; one result.
    answer.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    answer.extend_from_slice(&TOPIC_AUTHORIZATION_FAILED);
    // No message; no settings.
    answer.extend_from_slice(&[0xff, 0xff]);
    answer.extend_from_slice(resource);
    answer.extend_from_slice(&[0, 0, 0, 0]);
    answer
}
