//! Which servers make the quorum, and who we are to them: between `--server` and `--local` the
//! nearer one counts, a quorum that is none is refused, and credentials and TLS files are added to
//! each server. Called by `settings`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::file;
use super::options::{
    ANY_QUORUM, Choice, LOCAL, Local, PASSWORD_FILE, SERVER, TLS_CA, TLS_CERT, TLS_KEY, USER,
};
use super::sources::{Origin, Row, Setting, Sources};
use super::{Error, Servers};
use crate::exit::Exit;
use crate::node::endpoint::{Address, Credentials, Endpoint, Secret, TlsFile, TlsFiles};

const NO_SERVERS: &str = "no servers: name each with --server redis://HOST:PORT, or all of them in \
    REDLOCK_SERVERS or as servers = [...] in the file of settings, by default \
    /etc/redlock/config.toml; or use --local to lock on this host only";

/// The servers that the settings name.
///
/// # Errors
///
/// If none are named, or they make no quorum, or what is needed to talk to them is missing.
pub fn of(sources: &Sources) -> Result<Servers, Error> {
    match named(sources)? {
        (None, None) => Err(Error::new(Exit::Configuration, NO_SERVERS)),
        (Some((servers, origin)), None) => redis(sources, servers, &origin),
        (None, Some((local, origin))) => embedded(sources, local, &origin),
        (Some((servers, of_servers)), Some((local, of_local))) => {
            match nearer(&of_servers, &of_local) {
                Ordering::Less => redis(sources, servers, &of_servers),
                Ordering::Greater => embedded(sources, local, &of_local),
                Ordering::Equal => {
                    let other = of_servers.label(&SERVER.row);
                    let message =
                        format!("excludes {other}; locks are either on servers or on this host");
                    Err(of_local.error(&LOCAL.row, &message))
                }
            }
        }
    }
}

/// Which of two origins is nearer to the user. In one file none is: what holds for all names stands
/// at its beginning or in `[defaults]`, and both of servers and directory are a mistake there.
fn nearer(one: &Origin, other: &Origin) -> Ordering {
    match (one, other) {
        (Origin::File { .. }, Origin::File { .. }) => Ordering::Equal,
        _ => one.rank().cmp(&other.rank()),
    }
}

/// The servers and the directory that are named, whichever of them counts.
type Named = (Option<(Vec<Endpoint>, Origin)>, Option<(Local, Origin)>);

fn named(sources: &Sources) -> Result<Named, Error> {
    let servers = sources.located(&SERVER)?;
    let local = sources.located(&LOCAL)?;
    let local = local.filter(|(local, _)| *local != Local::Off);
    Ok((servers, local))
}

/// An option that does not count beside another.
pub struct PassedOver {
    /// Which one.
    pub row: &'static Row,
    /// What counts instead, as messages call it.
    pub counts: String,
}

/// Which of `--server` and `--local`, if both are named, does not count.
///
/// # Errors
///
/// If one makes no sense.
pub fn passed_over(sources: &Sources) -> Result<Option<PassedOver>, Error> {
    let (servers, local) = named(sources)?;
    Ok(servers.zip(local).map(|((_, servers), (_, local))| {
        if servers.rank() < local.rank() {
            PassedOver {
                row: &LOCAL.row,
                counts: servers.label(&SERVER.row),
            }
        } else {
            PassedOver {
                row: &SERVER.row,
                counts: local.label(&LOCAL.row),
            }
        }
    }))
}

fn embedded(sources: &Sources, local: Local, origin: &Origin) -> Result<Servers, Error> {
    let directory = match local {
        Local::At(directory) => Some(directory),
        _ => sources.world().state_directory(),
    };
    directory.map(Servers::Local).ok_or_else(|| {
        let message = "neither XDG_STATE_HOME nor HOME is a path that begins with /; name a directory, as in \
                       --local=DIR";
        Error::new(
            Exit::Configuration,
            format!("{}: {message}", origin.label(&LOCAL.row)),
        )
    })
}

fn redis(sources: &Sources, mut servers: Vec<Endpoint>, origin: &Origin) -> Result<Servers, Error> {
    refuse_twins(&servers, origin)?;
    if sources.value(&ANY_QUORUM)? == Choice::No {
        refuse_poor_quorum(servers.len(), origin)?;
    }
    let files = tls_files(sources, &servers, origin)?;
    let user = sources.optional(&USER)?;
    let password = password(sources)?;
    for server in &mut servers {
        if let Address::Tls { files: own, .. } = &mut server.address {
            own.clone_from(&files);
        }
        complete(&mut server.credentials, user.as_ref(), password.as_ref());
    }
    Ok(Servers::Redis(servers))
}

/// A password in the URL comes with the user of the URL, or with none. A password from elsewhere
/// belongs to the user of the URL, if there is one.
fn complete(own: &mut Credentials, user: Option<&String>, password: Option<&Secret>) {
    if own.password.is_none() {
        own.user = own.user.take().or_else(|| user.cloned());
        own.password = password.cloned();
    }
}

/// The same server twice would have two votes. Whether two names are one is seen later, when they
/// are resolved.
fn refuse_twins(servers: &[Endpoint], origin: &Origin) -> Result<(), Error> {
    let mut seen = HashSet::new();
    // The database makes no difference: if the server goes, all of them go.
    let twin = servers
        .iter()
        .map(place)
        .find(|name| !seen.insert(name.clone()));
    match twin {
        Some(name) => Err(origin.error(
            &SERVER.row,
            &format!("{name} is there twice, and would have two votes; give each server once"),
        )),
        None => Ok(()),
    }
}

/// The name of a server, the same for every way of writing it that is known to mean the same.
fn place(server: &Endpoint) -> String {
    match server.address {
        Address::Unix(_) => server.to_string(),
        Address::Tcp { .. } | Address::Tls { .. } => server.to_string().to_lowercase(),
    }
}

fn refuse_poor_quorum(count: usize, origin: &Origin) -> Result<(), Error> {
    let why = match count {
        1 => "1 server: when it is down, no job runs; use 3 or 5, or --any-quorum".to_owned(),
        2 => "2 servers: a majority of 2 is 2, so one failure stops everything; use 3 or 5, or \
              --any-quorum"
            .to_owned(),
        count if count.is_multiple_of(2) => format!(
            "{count} servers: a majority of {count} is {}, so they survive no more failures than \
             {} do; use {} or {}, or --any-quorum",
            count / 2 + 1,
            count - 1,
            count - 1,
            count + 1,
        ),
        _ => return Ok(()),
    };
    Err(origin.error(&SERVER.row, &why))
}

/// The TLS files, which must make sense by themselves and with the servers.
fn tls_files(sources: &Sources, servers: &[Endpoint], origin: &Origin) -> Result<TlsFiles, Error> {
    let encrypted = |server: &Endpoint| matches!(server.address, Address::Tls { .. });
    if !servers.iter().any(encrypted) {
        // Files for other servers, from further away, are none of our business. But whoever names
        // them beside the servers thinks that they are used.
        let idle = [&TLS_CA, &TLS_CERT, &TLS_KEY]
            .into_iter()
            .find_map(|setting| {
                let found = sources.find(&setting.row)?;
                (found.origin.rank() <= origin.rank()).then_some((setting, found.origin))
            });
        return match idle {
            Some((setting, origin)) => Err(origin.error(
                &setting.row,
                "no server is rediss://, so nothing would be encrypted",
            )),
            None => Ok(TlsFiles::default()),
        };
    }
    let client = match (sources.located(&TLS_CERT)?, sources.located(&TLS_KEY)?) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((tls_file(&TLS_CERT, cert), tls_file(&TLS_KEY, key))),
        (Some((_, origin)), None) => {
            return Err(origin.error(&TLS_CERT.row, "needs its private key, --tls-key"));
        }
        (None, Some((_, origin))) => {
            return Err(origin.error(&TLS_KEY.row, "needs its certificate, --tls-cert"));
        }
    };
    let ca = sources.located(&TLS_CA)?;
    Ok(TlsFiles {
        ca: ca.map(|located| tls_file(&TLS_CA, located)),
        client,
    })
}

fn tls_file(setting: &Setting<PathBuf>, (path, origin): (PathBuf, Origin)) -> TlsFile {
    TlsFile {
        path,
        setting: origin.label(&setting.row),
    }
}

fn password(sources: &Sources) -> Result<Option<Secret>, Error> {
    let Some((path, origin)) = sources.located(&PASSWORD_FILE)? else {
        return Ok(None);
    };
    let text =
        read_password(&path).map_err(|message| origin.error(&PASSWORD_FILE.row, &message))?;
    // A pipe has nothing more, and would let us wait for it.
    if is_other_than_file(&path) {
        return Ok(Some(Secret::new(text)));
    }
    let again = move || {
        if is_other_than_file(&path) {
            return Err(format!("{} is no file any more", path.display()));
        }
        read_password(&path)
    };
    Ok(Some(Secret::renewable(text, again)))
}

fn is_other_than_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file())
}

fn read_password(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let content = file::read(path)
        .map_err(|error| format!("cannot read {shown}: {}", file::reason(&error)))?;
    if file::is_open(content.mode) {
        return Err(format!(
            "{shown} {}",
            file::how_to_close(path, content.mode)
        ));
    }
    // Editors end a file with a newline that is not part of the password.
    let text = &content.text;
    let password = text.strip_suffix('\n').unwrap_or(text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.contains('\n') {
        return Err(format!("{shown} has several lines; a password is one"));
    }
    if password.is_empty() {
        return Err(format!("{shown} is empty; write the password into it"));
    }
    Ok(password.to_owned())
}
