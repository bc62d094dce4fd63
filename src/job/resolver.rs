//! Looks up host names with what is built in.
//!
//! A statically linked glibc has `/etc/hosts` and DNS in it. Whatever else `/etc/nsswitch.conf`
//! names (`resolve`, `mdns4_minimal`, `myhostname`, …) it would load as a shared library of the
//! host, and with it the host's own libc: with another version than ours that may crash. So it is
//! told not to. Here because of `unsafe`; called by `commands`, before the first name is looked up.

/// Lets names be looked up in `/etc/hosts` and DNS and nowhere else, if we bring our own libc. What
/// is looked up in DNS at the address of systemd-resolved is answered by it as by its plugin.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub fn use_what_is_built_in() {
    // SAFETY: so it is declared in nss.h.
    unsafe extern "C" {
        fn __nss_configure_lookup(
            database: *const libc::c_char,
            services: *const libc::c_char,
        ) -> libc::c_int;
    }
    // After a panic nodes are opened once more, and a thread may still be looking up a name.
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: both are constant C strings, and no other thread looks up names yet. Should it fail,
    // we have what the system is configured for.
    ONCE.call_once(|| unsafe {
        __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
    });
}

/// The system's libc looks names up as the system is configured.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub fn use_what_is_built_in() {}
