use lumen_core::Fingerprint;
use lumen_core::seal::EXPORTER_LABEL;
use lumen_core::trust::{
    AllowList, ClientVerifier, HostVerifier, PinPolicy, SERVER_NAME, TrustError, client_config, server_config,
};
use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};
use std::sync::{Arc, Mutex};

struct Identity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = certify(&key, 1, 4096);
        Self { key, certificate }
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    /// This identity's certificate beside another's key: what a thief of the certificate can show.
    fn stolen_by(&self, thief: &Identity) -> Arc<SingleCertAndKey> {
        let key = any_supported_type(&thief.key_der()).unwrap();
        Arc::new(CertifiedKey::new(vec![self.certificate.clone()], key).into())
    }
}

fn certify(key: &KeyPair, serial: u64, until: i32) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["lumen".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.self_signed(key).unwrap().der().clone()
}

#[derive(Debug, Default)]
struct List {
    allowed: Mutex<Vec<Fingerprint>>,
    refused: Mutex<Vec<Fingerprint>>,
}

impl AllowList for List {
    fn is_allowed(&self, client: &Fingerprint) -> bool {
        self.allowed.lock().unwrap().contains(client)
    }

    fn refused(&self, client: &Fingerprint) {
        self.refused.lock().unwrap().push(*client);
    }
}

fn allow(clients: &[&Identity]) -> Arc<List> {
    let allowed = clients.iter().map(|client| client.fingerprint()).collect();
    Arc::new(List { allowed: Mutex::new(allowed), ..List::default() })
}

fn client(identity: &Identity, policy: PinPolicy) -> (ClientConfig, Arc<HostVerifier>) {
    let verifier = Arc::new(HostVerifier::new(policy));
    let config =
        client_config(vec![identity.certificate.clone()], identity.key_der(), verifier.clone()).unwrap();
    (config, verifier)
}

fn host(identity: &Identity, list: &Arc<List>) -> ServerConfig {
    let verifier = Arc::new(ClientVerifier::new(list.clone()));
    server_config(vec![identity.certificate.clone()], identity.key_der(), verifier).unwrap()
}

/// Runs a handshake in memory; the first error of each side.
fn handshake(
    client: ClientConfig,
    host: ServerConfig,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client = ClientConnection::new(Arc::new(client), SERVER_NAME.try_into().unwrap()).unwrap();
    let mut host = ServerConnection::new(Arc::new(host)).unwrap();
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        host.read_tls(&mut &wire[..]).unwrap();
        host.process_new_packets()?;
        wire.clear();
        while host.wants_write() {
            host.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !host.is_handshaking());
    Ok((client, host))
}

#[test]
fn the_pinned_host_and_a_listed_client_share_a_secret() {
    let (me, it) = (Identity::new(), Identity::new());
    let (config, verifier) = client(&me, PinPolicy::Pinned(it.fingerprint()));
    let (client, host) = handshake(config, host(&it, &allow(&[&me]))).unwrap();
    assert_eq!(verifier.proven(), Some(it.fingerprint()));
    assert_eq!(client.alpn_protocol(), Some(&b"lumen/1"[..]));
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let secret = |of: &dyn Fn([u8; 32]) -> Result<[u8; 32], Error>| of([0; 32]).unwrap();
    let ours = secret(&|out| client.export_keying_material(out, EXPORTER_LABEL, Some(&[1; 16])));
    let theirs = secret(&|out| host.export_keying_material(out, EXPORTER_LABEL, Some(&[1; 16])));
    let of_another = secret(&|out| host.export_keying_material(out, EXPORTER_LABEL, Some(&[2; 16])));
    assert_eq!(ours, theirs);
    assert_ne!(ours, of_another);
}

// Sabotage: accept any certificate in `judge`.
#[test]
fn another_host_than_the_pinned_one_is_refused() {
    let (me, it, other) = (Identity::new(), Identity::new(), Identity::new());
    let (config, verifier) = client(&me, PinPolicy::Pinned(it.fingerprint()));
    let error = handshake(config, host(&other, &allow(&[&me]))).unwrap_err();
    let (pinned, shown) = (it.fingerprint(), other.fingerprint());
    assert_eq!(TrustError::of(&error), Some(TrustError::NotPinned { pinned, shown }));
    assert_eq!(verifier.proven(), None);
}

// Sabotage: return HandshakeSignatureValid::assertion() from verify_tls13_signature without verifying.
#[test]
fn the_pinned_certificate_without_its_key_is_refused() {
    let (me, it, thief) = (Identity::new(), Identity::new(), Identity::new());
    let stolen = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(ClientVerifier::new(allow(&[&me]))))
        .with_cert_resolver(it.stolen_by(&thief));
    for policy in [PinPolicy::Pinned(it.fingerprint()), PinPolicy::FirstUse] {
        let (mut config, verifier) = client(&me, policy);
        config.alpn_protocols.clear();
        let error = handshake(config, stolen.clone()).unwrap_err();
        assert!(
            matches!(error, Error::InvalidCertificate(rustls::CertificateError::BadSignature)),
            "{error:?}"
        );
        assert_eq!(verifier.proven(), None, "a certificate without its key must never be stored");
    }
}

// Sabotage: as above, in the client verifier.
#[test]
fn a_listed_certificate_without_its_key_is_refused() {
    let (me, it, thief) = (Identity::new(), Identity::new(), Identity::new());
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HostVerifier::new(PinPolicy::FirstUse)))
        .with_client_cert_resolver(me.stolen_by(&thief));
    config.alpn_protocols = vec![b"lumen/1".to_vec()];
    let error = handshake(config, host(&it, &allow(&[&me]))).unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(rustls::CertificateError::BadSignature)), "{error:?}");
}

#[test]
fn first_use_records_the_host_and_then_holds_it() {
    let (me, it, other) = (Identity::new(), Identity::new(), Identity::new());
    let (config, verifier) = client(&me, PinPolicy::FirstUse);
    let list = allow(&[&me]);
    handshake(config.clone(), host(&it, &list)).unwrap();
    assert_eq!(verifier.proven(), Some(it.fingerprint()));
    handshake(config.clone(), host(&it, &list)).unwrap();
    let error = handshake(config, host(&other, &list)).unwrap_err();
    assert!(matches!(TrustError::of(&error), Some(TrustError::NotPinned { .. })), "{error:?}");
}

// Sabotage: let `verify_client_cert` accept who is not on the list.
#[test]
fn an_unlisted_client_is_refused_with_its_fingerprint() {
    let (me, it) = (Identity::new(), Identity::new());
    let list = allow(&[&it]);
    let (config, _) = client(&me, PinPolicy::FirstUse);
    let error = handshake(config, host(&it, &list)).unwrap_err();
    assert_eq!(TrustError::of(&error), Some(TrustError::Unlisted(me.fingerprint())));
    assert!(error.to_string().contains(&format!("lumenctl allow {}", me.fingerprint())), "{error}");
    assert_eq!(*list.refused.lock().unwrap(), [me.fingerprint()]);
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let (me, it) = (Identity::new(), Identity::new());
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HostVerifier::new(PinPolicy::FirstUse)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"lumen/1".to_vec()];
    let error = handshake(config, host(&it, &allow(&[&me]))).unwrap_err();
    assert!(matches!(error, Error::NoCertificatesPresented), "{error:?}");
}

// Sabotage: compare keys or names instead of the whole certificate.
#[test]
fn two_hundred_certificates_of_a_listed_key_are_refused() {
    let (mut me, it) = (Identity::new(), Identity::new());
    let list = allow(&[&me]);
    for serial in 2..202 {
        me.certificate = certify(&me.key, serial, if serial % 2 == 0 { 4096 } else { 1990 });
        let (config, _) = client(&me, PinPolicy::FirstUse);
        let error = handshake(config, host(&it, &list)).unwrap_err();
        assert_eq!(TrustError::of(&error), Some(TrustError::Unlisted(me.fingerprint())));
    }
    assert_eq!(list.refused.lock().unwrap().len(), 200);
}

#[test]
fn an_expired_certificate_is_still_its_owners_identity() {
    let (mut me, mut it) = (Identity::new(), Identity::new());
    me.certificate = certify(&me.key, 1, 1990);
    it.certificate = certify(&it.key, 1, 1990);
    let (config, _) = client(&me, PinPolicy::Pinned(it.fingerprint()));
    handshake(config, host(&it, &allow(&[&me]))).unwrap();
}

// Sabotage: keep rustls' default session storage and tickets. A resumed handshake would show no certificate.
#[test]
fn a_revoked_client_cannot_resume() {
    let (me, it) = (Identity::new(), Identity::new());
    let list = allow(&[&me]);
    let (mut config, _) = client(&me, PinPolicy::FirstUse);
    // A hostile client keeps what it can.
    config.resumption = Resumption::in_memory_sessions(8);
    let host = host(&it, &list);
    let (first, _) = handshake(config.clone(), host.clone()).unwrap();
    assert_eq!(first.tls13_tickets_received(), 0);
    list.allowed.lock().unwrap().clear();
    let error = handshake(config, host).unwrap_err();
    assert!(matches!(TrustError::of(&error), Some(TrustError::Unlisted(_))), "{error:?}");
}
