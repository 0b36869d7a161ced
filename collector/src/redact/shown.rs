//! Lines, and what they show: what names, headers, URLs and commands give away is replaced, and nothing
//! else.

use super::tag;
use super::tests::{line, redactor};

/// Lines, and what they show: `#` stands for a tag.
const SHOWN: &[(&str, &str)] = &[
    ("DB_PASSWORD=hunter2", "DB_PASSWORD=#"),
    ("export API_KEY='abc123def456'", "export API_KEY='#'"),
    ("password=a,b;c&d user=x", "password=# user=x"),
    ("password=hunter2,user=x", "password=#,user=x"),
    ("Server=db;Uid=sa;Pwd=s3cr3t;Timeout=3", "Server=db;Uid=sa;Pwd=#;Timeout=3"),
    (r##"{"user":"x","password":"a\"b,c","n":1}"##, r##"{"user":"x","password":"#","n":1}"##),
    (r##"{"password" : "swordfish"}"##, r##"{"password" : "#"}"##),
    (
        r##"{"log":"{\"password\":\"swordfish\",\"n\":1}\n"}"##,
        r##"{"log":"{\"password\":\"#\",\"n\":1}\n"}"##,
    ),
    (
        r##"{"log":"password=swordfish\n","stream":"stdout"}"##,
        r##"{"log":"password=#\n","stream":"stdout"}"##,
    ),
    ("{'client_secret': u'abcdef', 'x': 1}", "{'client_secret': u'#', 'x': 1}"),
    ("Config(password=hunter2, user=bob)", "Config(password=#, user=bob)"),
    ("{Password:hunter2 User:bob}", "{Password:# User:bob}"),
    (":password=>\"hunter2\", :n=>1", ":password=>\"#\", :n=>1"),
    ("<password>hunter2</password>", "<password>#</password>"),
    ("  password: swordfish", "  password: #"),
    ("mysql --password hunter2 -h db", "mysql --password # -h db"),
    (
        "GET /cb?access_token=abcd1234efgh&state=1 HTTP/1.1",
        "GET /cb?access_token=#&state=1 HTTP/1.1",
    ),
    (
        "\x1b[31mpassword\x1b[0m=\x1b[1mhunter2\x1b[0m ok",
        "\x1b[31mpassword\x1b[0m=\x1b[1m#\x1b[0m ok",
    ),
    ("pass\x1b[0mword=hunter2 x", "pass\x1b[0mword=# x"),
    (
        "AccountName=x;AccountKey=abcdEFGH1234/+==;Endpoint=y",
        "AccountName=x;AccountKey=#;Endpoint=y",
    ),
    ("X-Api-Key: abcd1234efgh", "X-Api-Key: #"),
    ("Authorization: Bearer abc.def-123", "Authorization: Bearer #"),
    ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic #"),
    (r##"{"Authorization":["Bearer abcdef"],"n":1}"##, r##"{"Authorization":["Bearer #"],"n":1}"##),
    (
        r##"curl -H "Authorization: Token abc" http://x"##,
        r##"curl -H "Authorization: Token #" http://x"##,
    ),
    ("('Authorization', 'Bearer abcdef')", "('Authorization', 'Bearer #')"),
    ("Proxy-Authorization: Digest username=\"a\", response=\"b\"", "Proxy-Authorization: Digest #"),
    ("Authorization: s3cr3tvalue", "Authorization: #"),
    ("got Bearer abcdef1234567890 from client", "got Bearer # from client"),
    ("Cookie: sid=abc; theme=dark", "Cookie: #"),
    ("Set-Cookie: sid=abc; Path=/; HttpOnly", "Set-Cookie: #"),
    (r##"{"cookie":"sid=abc; a=b","n":1}"##, r##"{"cookie":"#","n":1}"##),
    ("postgres://app:hunter2@db:5432/x", "postgres://app:#@db:5432/x"),
    ("redis://:hunter2@cache/0", "redis://:#@cache/0"),
    ("amqp://u:p@ss@h/ and http://x/", "amqp://u:#@h/ and http://x/"),
    ("\"https://u:pa/ss@h/x\"", "\"https://u:#@h/x\""),
    (
        "https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/1",
        "https://#@o1.ingest.sentry.io/1",
    ),
    (
        "Exception: login failed password=hunter2\\n\\tat x",
        "Exception: login failed password=#\\n\\tat x",
    ),
    (
        "https://a.blob.core.windows.net/c/b?sv=2024&sig=Xk3%2Bq7vQp0aZ9sLmTn4RwYbV1cUeKdHjGfOiNt8Sx2E%3D&se=1",
        "https://a.blob.core.windows.net/c/b?sv=2024&sig=#&se=1",
    ),
    (
        "GET /b/o?X-Amz-Signature=5c0b1e6f9a2d4c8b7e3f1a0d5c0b1e6f9a2d4c8b7e3f1a0d5c0b1e6f9a2d4c8b HTTP/1.1",
        "GET /b/o?X-Amz-Signature=# HTTP/1.1",
    ),
    ("+ curl -sS -u deploy:hunter2 http://x/", "+ curl -sS -u deploy:# http://x/"),
    ("curl --user \"deploy:hun ter2\" http://x/", "curl --user \"deploy:#\" http://x/"),
    ("sh -c 'curl -udeploy:hunter2 http://x/'", "sh -c 'curl -udeploy:# http://x/'"),
    ("sshpass -p hunter2 ssh a@b", "sshpass -p # ssh a@b"),
    (
        "GET /go?to=postgres%3A%2F%2Fapp%3Ahun%24ter2%40db%3A5432%2Fx&n=1",
        "GET /go?to=postgres%3A%2F%2Fapp%3A#%40db%3A5432%2Fx&n=1",
    ),
    ("to=http%3a%2f%2fu:hunter2@h%2f", "to=http%3a%2f%2fu:#@h%2f"),
    ("https://deploy%3Ahunter2@h/x", "https://deploy%3A#@h/x"),
];

#[test]
fn what_names_and_headers_say_is_replaced_and_nothing_else() {
    let mut redactor = redactor(&[]);
    for (text, shown) in SHOWN.iter().copied() {
        let (out, _) = line(&mut redactor, text);
        let (head, tail) = shown.split_once('#').unwrap_or((shown, ""));
        let tag = out.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
        assert!(tag.is_some_and(|tag| tag::is_tag(tag.as_bytes())), "{text}\n{out}");
    }
}

#[test]
fn sentences_and_references_stay() {
    let mut redactor = redactor(&[]);
    let harmless = [
        "Failed password for invalid user admin from 10.0.0.1 port 22 ssh2",
        "Access denied for user 'x'@'h' (using password: YES)",
        "password: must be at least 8 characters",
        "Invalid token: expired",
        "unexpected token: '<' at 3",
        "max_tokens=4096 tokens=12345678901234567890",
        "password=${DB_PASSWORD} token={{ token }} secret=<secret> pwd=***",
        "PWD=/home/app OLDPWD=/srv",
        r#"{"password":null,"token":"","secret":false}"#,
        "cache_key=user:12345678 partition_key=99887766554433",
        "http://host:8080/path/user@example.com",
        "git@github.com:a/b.git ssh://git@github.com/a",
        "mail to a@b.c",
        "cookie: disabled",
        "Authorization: required",
        "Basic authentication is on",
        "bearer of bad news 2026",
        "blk_4111111111111111 served",
        "order 4111111111111112",
        "expected -----BEGIN PRIVATE KEY----- but found this",
        "------------------------------",
        "AKIA is a prefix",
        "eyJ is too",
        "password_file=/run/secrets/db",
        "sort key -keyword a_keyboard",
        "token=Token{a64f992 x}}",
        "bad token: android.os.BinderProxy@2bd79ce",
        "token bucket: 12",
        "TokenRefreshed at 10:00",
        "http://a/b?c=d:e@f",
        "curl -u deploy:$PASS http://x/",
        "curl -u deploy http://x:80/",
        "docker run -u 1000:1000 image",
        "GET /go?to=http%3A%2F%2Fhost%3A8080%2Fmail%40example.org",
        "signature=com.example.ServiceWithAVeryLongNameIndeed1",
        "sig=11 size=SG.12",
        "a%2Fdapi0123456789abcdef0123456789abcdef",
    ];
    for text in harmless {
        assert_eq!(line(&mut redactor, text), (text.to_owned(), vec![]));
    }
    println!("0 of {} lines that look like secrets are taken for some", harmless.len());
}
