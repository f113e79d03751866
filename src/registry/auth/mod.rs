//! Who asks: the credentials of this machine, what a registry demands, and the tokens in between.
//! In: a host, its challenge, a scope. Out: the value of an Authorization header.
//! Never: more rights than the request needs, a credential for a token server that is not trusted.

pub mod challenge;
pub mod credentials;
pub mod keep;
pub mod token;
