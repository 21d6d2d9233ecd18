//! What h1, h2 and ws share.
