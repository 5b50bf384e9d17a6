//! What registries say, and what becomes of it: the code of the contract, and skopeo's own last words.

use gantry::refusal::Code;

use super::{Place, on_actix, pull};
use crate::fake_registry::{Answer, FakeRegistry};

#[test]
fn each_error_has_its_code_and_says_what_happened() {
    on_actix(async {
        let place = Place::new();
        let store = place.open().await;
        let cases: Vec<(&'static str, &'static str, &'static str, Code, &[&str])> = vec![
            ("", "401 Unauthorized", "UNAUTHORIZED", Code::Denied, &["unauthorized", "authfile="]),
            ("", "403 Forbidden", "DENIED", Code::Denied, &["403"]),
            ("/manifests/", "401 Unauthorized", "UNAUTHORIZED", Code::Denied, &["unauthorized", "authfile="]),
            ("/manifests/", "403 Forbidden", "DENIED", Code::Denied, &["as the test wants it"]),
            ("/manifests/", "404 Not Found", "MANIFEST_UNKNOWN", Code::NotFound, &["manifest unknown"]),
            ("/manifests/", "404 Not Found", "NAME_UNKNOWN", Code::NotFound, &["name unknown"]),
            ("/manifests/", "404 Not Found", "", Code::NotFound, &[]),
            ("/manifests/", "500 Internal Server Error", "UNKNOWN", Code::ToolFailed, &["500"]),
            ("/manifests/", "503 Service Unavailable", "UNAVAILABLE", Code::ToolFailed, &[]),
        ];
        for (at, status, code, expected, words) in cases {
            let registry = FakeRegistry::start(move |path| match path {
                "/v2/" if !at.is_empty() => Answer::ok("{}"),
                _ if code.is_empty() => Answer::Reply(status, String::new(), b"<html>no such page</html>".to_vec()),
                _ => Answer::error(status, code),
            });
            let refusal = pull(&store, &format!("{}/box:1", registry.address())).await.unwrap_err();
            assert_eq!(refusal.code(), expected, "{status} {code} at {at:?}: {refusal}");
            assert!(words.iter().all(|word| refusal.message().contains(word)), "{status} {code} at {at:?}: {refusal}");
            assert!(refusal.message().contains("skopeo: "), "{refusal}");
        }
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn a_registry_that_limits_says_so() {
    on_actix(async {
        let place = Place::new();
        let store = place.open().await;
        let registry = FakeRegistry::start(|path| match path {
            "/v2/" => Answer::ok("{}"),
            _ => {
                let Answer::Reply(status, headers, body) = Answer::error("429 Too Many Requests", "TOOMANYREQUESTS")
                else {
                    unreachable!()
                };
                Answer::Reply(status, format!("{headers}Retry-After: 0\r\n"), body)
            }
        });
        let refusal = pull(&store, &format!("{}/box:1", registry.address())).await.unwrap_err();
        assert_eq!(refusal.code(), Code::ToolFailed, "{refusal}");
        assert!(refusal.message().contains("limits how much one may pull"), "{refusal}");
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

#[test]
fn a_host_that_is_not_there_is_told_from_one_that_refuses() {
    on_actix(async {
        let place = Place::new();
        let store = place.open().await;
        // RFC 6761: no such host, wherever this runs; where there is no name server, the lookup fails in another way.
        let unknown = pull(&store, "no-such-host.invalid/box:1").await.unwrap_err();
        assert!(matches!(unknown.code(), Code::ToolFailed | Code::Timeout), "{unknown}");
        assert!(unknown.message().contains("lookup no-such-host.invalid"), "{unknown}");
        // Bound and not listened at: nobody else takes it meanwhile.
        let bound = socket();
        let refused = pull(&store, &format!("{bound}/box:1", bound = bound.1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ToolFailed, "{refused}");
        assert!(refused.message().contains("connection refused; is the registry up?"), "{refused}");
        // What a blob's address on another host knows is not for everyone.
        let secret = "X-Amz-Signature=0123abcd";
        let to = format!("Location: http://{}/blob?{secret}\r\n", bound.1);
        let layout = crate::registry::busybox_layout();
        let registry = FakeRegistry::with(&layout, move |path| {
            let found = || Answer::Reply("307 Temporary Redirect", to.clone(), Vec::new());
            path.contains("/blobs/").then(found)
        });
        let refusal = pull(&store, &format!("{}/box:1", registry.address())).await.unwrap_err();
        assert!(refusal.message().contains("connection refused"), "{refusal}");
        assert!(!refusal.message().contains("0123abcd"), "{refusal}");
        assert_eq!(place.holds().await, (0, 0, 0));
    });
}

/// A port of loopback that is taken, and at which nobody listens.
fn socket() -> (std::os::fd::OwnedFd, String) {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
    use std::os::fd::AsRawFd;
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address: SockaddrIn = getsockname(fd.as_raw_fd()).unwrap();
    (fd, address.to_string())
}
