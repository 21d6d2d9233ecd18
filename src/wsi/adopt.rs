//! Sockets that somebody else has connected.

use super::{Binding, Wsi, WsiId, WsiState};
use crate::context::Core;
use crate::error::Error;
use crate::plat::{Adopted, Socket};
use crate::role::Role;

impl Core {
    /// Makes a connection of a socket, which is told to be established when the caller says that it is [opened](Core::opened).
    pub(crate) fn adopt(&mut self, socket: Adopted, binding: Binding) -> Result<WsiId, Error> {
        if self.connections() >= self.max_connections {
            return Err(Error::Full("no connection fits: max_connections is reached"));
        }
        let refused = |source| Error::Io { what: "adopt a socket", address: None, source };
        let socket = Socket::adopt(socket).map_err(refused)?;
        let role = Role::Raw(raw::Engine::new());
        let id = self.wsis.insert(Wsi::new(None, role, Binding::None, WsiState::Connecting));
        let registered = self.plat.register(socket, id.0.to_token());
        let Some(wsi) = self.wsis.get_mut(id) else { return Err(Error::Stale) };
        match registered {
            Ok(socket) => wsi.socket = Some(socket),
            Err(source) => {
                self.remove(id);
                return Err(refused(source));
            }
        }
        wsi.binding = binding;
        Ok(id)
    }
}
