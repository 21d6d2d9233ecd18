//! For those who know libwebsockets: its names, and ours.
//!
//! # Things
//!
//! | lws | here |
//! |---|---|
//! | `struct lws_context` | `Context`; in a callback, `Cx` |
//! | `struct lws_vhost` | `Vhost` |
//! | `struct lws` (wsi) | `Wsi`, named by a `WsiId` |
//! | role ops | `Role`, and the engines in `roles/` |
//! | `struct lws_protocols` | `Protocol` |
//! | `lws_sorted_usec_list_t` | `Sul`, named by a `SulId` |
//! | `lws_retry_bo_t` | `RetryPolicy`; its decisions are [`Backoff`](crate::secure_stream::retry::Backoff) |
//! | `struct lws_ss_handle *` | `StreamId`: it may be kept for ever, and is `Stale` when the stream is gone |
//! | `lws_ss_info_t` and its callbacks | `StreamHandler` |
//! | `lws_ss_constate_t`, `LWSSSCS_...` | [`StreamState`](crate::secure_stream::state::StreamState), with the same numbers |
//! | `lws_ss_policy_t` | `Policy`, `StreamType` |
//! | user object, `opaque_user_data` | the handler itself; what handlers share: `cx.app::<T>()` |
//! | `LWSSSINFLAGS_SERVER`, `_ACCEPTED`, `_REGISTER_SINK` | [`StreamKind`](crate::secure_stream::state::StreamKind) |
//! | `lws_plat_*` | `plat`, and `sim` in its place |
//!
//! # Calls
//!
//! | lws | here |
//! |---|---|
//! | `lws_create_context` | the `Context` builder |
//! | `lws_service` | `Context::service`, `Context::run` |
//! | `lws_cancel_service` | `Waker`; the streams hear `EVENT_WAIT_CANCELLED` |
//! | `lws_service_adjust_timeout` | `Context::next_timeout`, with `Context::poll_fd` |
//! | `LWS_CALLBACK_ADD_POLL_FD` and its kin, `lws_service_fd` | `PollHost`, `Context::service_fd` |
//! | `lws_sul_schedule`, `lws_sul_cancel` | `sul_schedule`, `sul_cancel` |
//! | `lws_ss_create` | `create`; `lws_ss_info_t.manual_initial_tx_credit` is in `StreamInfo` |
//! | `lws_ss_add_peer_tx_credit`, `lws_ss_get_est_peer_tx_credit` | `add_peer_tx_credit`, `get_est_peer_tx_credit`: `None` instead of -1 |
//! | `lws_h2_client_stream_long_poll_rxonly` | `long_poll` in the policy |
//! | `LWS_SERVER_OPTION_VH_H2_HALF_CLOSED_LONG_POLL` | not needed: a response that the server does not end stays open |
//! | `lws_ss_create` with `LWSSSINFLAGS_REGISTER_SINK` | `register_sink` |
//! | `lws_ss_destroy` | `destroy` |
//! | `lws_ss_client_connect` | `client_connect` |
//! | `lws_ss_request_tx`, `lws_ss_request_tx_len` | `request_tx`, `request_tx_len` |
//! | `lws_ss_set_metadata`, `lws_ss_get_metadata` | `set_metadata`, `metadata`: values are copied, there is no user memory to keep alive |
//! | `lws_ss_start_timeout`, `lws_ss_cancel_timeout` | `start_timeout`, `cancel_timeout` |
//! | `lws_ss_change_handlers` | `change_handlers` |
//! | `lws_ss_server_ack` | `server_ack` |
//! | `lws_context_deprecate` | `server_shutdown`, for each server |
//! | `lws_close_reason` | `close_reason`, `wsi_close_reason` |
//! | `lws_extension` of `permessage-deflate` | `WsInfo::deflate`, `StreamInfo::ws_deflate` |
//! | `lws_ss_server_foreach_client` | `server_foreach_client` |
//! | `lws_frame_is_binary`, `LWS_WRITE_BINARY`, `LWS_WRITE_TEXT` | `RxFlags::is_binary`, `Tx::binary` |
//! | `lws_ss_adopt_raw`, `lws_adopt_socket` | `adopt`, `adopt_socket` |
//! | `lws_create_adopt_udp`, `lws_retry_sul_schedule` | `udp_bind`, `connect` with `ClientRole::Udp`; `retry_schedule` |
//! | `lws_mqtt_client_send_publish`, `_subcribe`, `_unsubcribe`; `LWS_CALLBACK_MQTT_...` | `mqtt_publish`, `mqtt_subscribe`, `mqtt_unsubscribe`; `Protocol::mqtt`, `Protocol::message` |
//! | `lws_create_vhost`, `lws_get_vhost_by_name` | `listen`, `vhost_create`; `!name` in the policy |
//! | `lws_ss_validity_confirm`, `lws_validity_confirmed` | `validity_confirm`, `wsi_validity_confirm` |
//! | `lws_system_ops_t.attach`, notifiers | `Remote::attach_at`, `attach`; `system_notifier` |
//! | `LWSSS_FLAG_PERF_JSON`, `detailed_latency_cb` | `RxFlags::is_perf_json`, `latency` of the builder |
//! | `http_nsc_filepath` of `lws_context_creation_info` | `cookies_import`, `cookies_export`: where the file is, is the application's to know |
//! | `lws_ss_state_name` | `StreamState`'s `Display` |
//! | `lws_ss_get_context`, `lws_ss_to_user_object` | not needed: a callback has `cx` and `self` |
//!
//! # Returns
//!
//! | lws | here |
//! |---|---|
//! | `LWSSSSRET_OK` | `Ok` |
//! | `LWSSSSRET_TX_DONT_SEND` | `TxFlow::DontSend` |
//! | `LWSSSSRET_DISCONNECT_ME` | `DisconnectMe` |
//! | `LWSSSSRET_DESTROY_ME` | `DestroyMe` |
//! | `LWSSSSRET_SS_HANDLE_DESTROYED` | does not exist: calls do not destroy under your feet, and a stale id says so |
//!
//! # Payload flags
//!
//! `LWSSS_FLAG_SOM` and `LWSSS_FLAG_EOM` come with `rx` as before. `tx` is typed: lengths beyond the buffer, and
//! flags that contradict each other, cannot be said.
//!
//! # Where the order differs
//!
//! - lws calls back from inside the call. `lws_ss_create` delivers `CREATING` before it returns, and
//!   `lws_ss_request_tx` may deliver `POLL` and `CONNECTING`. Here the callback that asked returns first; see
//!   [`callbacks`](super::callbacks).
//! - Any stream may be destroyed from any callback, the running one included. There is no need to return `DestroyMe`
//!   for it, though it does the same.
//! - A failure inside the call that connects is told as `UNREACHABLE`, once and later, as any other is.
//! - `UNREACHABLE` comes once for each `CONNECTING`, and `DISCONNECTED` only after `CONNECTED`. The table is stricter
//!   than that of lws; [`state`](crate::secure_stream::state) lists the differences and why.
//! - `CREATING` is a stream's first state even if a proxy fulfils it and cannot be reached. `UPSTREAM_LINK_RETRY`
//!   comes after.
//! - Metadata that the peer's headers brought ends with its transaction.
//! - MQTT: a message that a lost connection left without its acknowledgement is asked for again from
//!   [`StreamHandler::resend`](crate::StreamHandler::resend), which gives it up unless it is implemented. The topic of what
//!   arrives is in the metadata that the policy maps to `topic`.
//! - A stream type without a retry scheme conceals nothing: its first failure is followed by `ALL_RETRIES_FAILED`. A
//!   `jitterpc` of 0 means no jitter; where the key is absent, it is 30.
