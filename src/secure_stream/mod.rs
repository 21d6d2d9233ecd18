//! secure_stream
