//! plat
