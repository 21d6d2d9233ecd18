//! System blobs: values of the device that policies name by kind or index, and never hold themselves.

use std::collections::BTreeMap;

/// A value that a policy refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Blob {
    /// An auth token, by the index that `auth[].blob` gives; `http_auth_header` without `use_auth` takes 0.
    Auth(u8),
    /// A client certificate chain (DER or PEM), by the index that `client_cert` gives.
    ClientCert(u8),
    /// The private key to it.
    ClientKey(u8),
    /// Who a MQTT client is to its server; a name that is made for the context, unless it is set.
    MqttClientId,
    /// The user name of MQTT clients.
    MqttUserName,
    /// The password of MQTT clients, which needs a user name.
    MqttPassword,
    /// The device's serial number, for `http_dsn_header`.
    DeviceSerial,
    /// Its firmware version, for `http_fwv_header`.
    DeviceFirmwareVersion,
    /// Its type, for `http_devtype_header`.
    DeviceType,
}

/// The blobs of a context.
#[derive(Debug, Default)]
pub(crate) struct Blobs(BTreeMap<Blob, Vec<u8>>);

impl Blobs {
    pub(crate) fn set(&mut self, blob: Blob, value: Vec<u8>) {
        self.0.insert(blob, value);
    }

    pub(crate) fn get(&self, blob: Blob) -> Option<&[u8]> {
        self.0.get(&blob).map(Vec::as_slice)
    }
}
