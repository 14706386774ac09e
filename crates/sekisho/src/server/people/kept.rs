//! Views and rules of noise that people keep: one small file, replaced as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use sekisho_api::{Access, Account, Kept, NewKept, Noisy, Outcome, Refusal, View};
use sekisho_base::error_chain;
use sekisho_map::NoiseRule;
use sekisho_system::replace_file;
use serde::{Deserialize, Serialize};

use super::audit::Call;
use super::scope::whole;
use crate::server::fleet::Fleet;
use crate::server::service::now;

const NAME: &str = "kept.json";
/// Most that one token keeps of a kind for itself.
const OWN_MAX: usize = 64;
/// Most that is shared of a kind.
const SHARED_MAX: usize = 256;
/// Most that is kept of a kind: tokens come and go.
const ALL_MAX: usize = 4_096;

/// What is in the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct File {
    /// The last id that was given.
    last: u64,
    views: Vec<Kept<View>>,
    noise: Vec<Kept<Noisy>>,
}

/// What people keep.
#[derive(Debug)]
pub(crate) struct KeptBook {
    path: PathBuf,
    file: Mutex<File>,
}

/// A kind of thing that is kept.
trait Kind: Clone {
    /// What one is called.
    const WORD: &'static str;
    fn of(file: &File) -> &Vec<Kept<Self>>;
    fn of_mut(file: &mut File) -> &mut Vec<Kept<Self>>;
}

impl Kind for View {
    const WORD: &'static str = "view";

    fn of(file: &File) -> &Vec<Kept<Self>> {
        &file.views
    }

    fn of_mut(file: &mut File) -> &mut Vec<Kept<Self>> {
        &mut file.views
    }
}

impl Kind for Noisy {
    const WORD: &'static str = "noise_rule";

    fn of(file: &File) -> &Vec<Kept<Self>> {
        &file.noise
    }

    fn of_mut(file: &mut File) -> &mut Vec<Kept<Self>> {
        &mut file.noise
    }
}

/// Whether `account` sees it. What is shared names workloads of any namespace.
fn sees<T>(account: &Account, one: &Kept<T>) -> bool {
    match one.shared {
        true => account.namespaces.is_none(),
        false => one.owner == account.name,
    }
}

/// Refuses who may not change what all see.
fn may_share(account: &Account) -> Result<(), Refusal> {
    whole(account, "what is shared")?;
    match account.role {
        Access::Author | Access::Operator => Ok(()),
        Access::Viewer => {
            let text = "what is shared is kept and dropped by authors: keep it for yourself";
            Err(Refusal::Denied(text.to_owned()))
        }
    }
}

impl KeptBook {
    /// Reads the file in `folder`; one that is not there holds nothing.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(NAME);
        let file = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("views and rules in `{}`", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("read `{}`", path.display()));
            }
        };
        Ok(Self { path, file: Mutex::new(file) })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `account` sees, by name.
    fn list<T: Kind>(&self, account: &Account) -> Vec<Kept<T>> {
        let file = self.file();
        let mut seen: Vec<Kept<T>> =
            T::of(&file).iter().filter(|one| sees(account, one)).cloned().collect();
        seen.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        seen
    }

    fn keep<T: Kind>(&self, account: &Account, wanted: NewKept<T>) -> Result<Kept<T>, Refusal> {
        let mut file = self.file();
        let all = T::of(&file);
        let is_mate = |one: &&Kept<T>| match wanted.shared {
            true => one.shared,
            false => !one.shared && one.owner == account.name,
        };
        if all.iter().filter(is_mate).any(|one| one.name == wanted.name) {
            let text = format!("there is one called `{}` already: drop it first", wanted.name);
            return Err(Refusal::Invalid(text));
        }
        let most = if wanted.shared { SHARED_MAX } else { OWN_MAX };
        if all.iter().filter(is_mate).count() >= most || all.len() >= ALL_MAX {
            return Err(Refusal::Invalid("too many are kept: drop some".to_owned()));
        }
        let NewKept { name, shared, what } = wanted;
        let mut changed = file.clone();
        changed.last += 1;
        let owner = account.name.clone();
        let one = Kept { id: changed.last, name, shared, owner, created: now(), what };
        T::of_mut(&mut changed).push(one.clone());
        self.replace(&mut file, changed)?;
        Ok(one)
    }

    fn drop_one<T: Kind>(&self, account: &Account, id: u64) -> Result<(), Refusal> {
        let mut file = self.file();
        let found = T::of(&file).iter().find(|one| one.id == id && sees(account, one));
        let Some(one) = found else {
            return Err(Refusal::Unknown(format!("there is nothing with the id `{id}`")));
        };
        if one.shared {
            may_share(account)?;
        }
        let mut changed = file.clone();
        T::of_mut(&mut changed).retain(|one| one.id != id);
        self.replace(&mut file, changed)
    }

    /// Drops what the token `name` kept for itself: another of that name is somebody else.
    pub(crate) fn forget(&self, name: &str) {
        let mut file = self.file();
        let mut changed = file.clone();
        changed.views.retain(|one| one.shared || one.owner != name);
        changed.noise.retain(|one| one.shared || one.owner != name);
        let is_same = changed.views.len() == file.views.len();
        if is_same && changed.noise.len() == file.noise.len() {
            return;
        }
        if let Err(error) = self.replace(&mut file, changed) {
            tracing::error!(token = name, %error, "what a token kept is still there");
        }
    }

    /// Replaces the file, durably; what is known stays if that fails.
    fn replace(&self, file: &mut File, changed: File) -> Result<(), Refusal> {
        let text = serde_json::to_vec_pretty(&changed).map_err(io::Error::from);
        let kept = text.and_then(|text| replace_file(&self.path, &text));
        kept.with_context(|| format!("write `{}`", self.path.display())).map_err(|error| {
            Refusal::Unavailable(format!("not kept: {}", error_chain(error.as_ref())))
        })?;
        *file = changed;
        Ok(())
    }
}

impl Fleet {
    /// Views that `account` has.
    pub(super) fn views(&self, account: &Account) -> Vec<Kept<View>> {
        self.kept().list(account)
    }

    /// Rules that `account` has.
    pub(super) fn noise(&self, account: &Account) -> Vec<Kept<Noisy>> {
        self.kept().list(account)
    }

    /// The rules that hide something on the maps of `account`.
    pub(super) fn noise_rules(&self, account: &Account) -> Vec<NoiseRule> {
        self.noise(account).iter().filter_map(Kept::rule).collect()
    }

    /// Its name, if maps of `account` differ from those of others with its rights.
    pub(super) fn own_maps(&self, account: &Account) -> String {
        let file = self.kept().file();
        let has_own = file.noise.iter().any(|one| !one.shared && one.owner == account.name);
        if has_own { account.name.clone() } else { String::new() }
    }

    /// Keeps a view.
    pub(super) fn keep_view(
        &self,
        account: &Account,
        wanted: &NewKept<View>,
    ) -> Result<Kept<View>, Refusal> {
        self.keep(account, wanted, wanted.what.query.clone())
    }

    /// Keeps a rule.
    pub(super) fn keep_noise(
        &self,
        account: &Account,
        wanted: &NewKept<Noisy>,
    ) -> Result<Kept<Noisy>, Refusal> {
        let filter = wanted.what.filter.iter();
        let words: Vec<String> = filter.map(|(name, value)| format!("{name}:{value}")).collect();
        self.keep(account, wanted, words.join(" "))
    }

    fn keep<T: Kind>(
        &self,
        account: &Account,
        wanted: &NewKept<T>,
        what: String,
    ) -> Result<Kept<T>, Refusal> {
        if wanted.shared {
            may_share(account)?;
        }
        let action = format!("keep_{}", T::WORD);
        let call = Call { who: &account.name, action: &action, target: &wanted.name };
        let detail = if wanted.shared { format!("shared: {what}") } else { what };
        let work = || self.kept().keep(account, wanted.clone());
        let done = |one: &Kept<T>| (Outcome::Done, format!("id {}", one.id));
        self.audit().around((&call, &detail), work, done)
    }

    /// Drops a view.
    pub(super) fn drop_view(&self, account: &Account, id: u64) -> Result<(), Refusal> {
        self.drop_kept::<View>(account, id)
    }

    /// Drops a rule.
    pub(super) fn drop_noise(&self, account: &Account, id: u64) -> Result<(), Refusal> {
        self.drop_kept::<Noisy>(account, id)
    }

    fn drop_kept<T: Kind>(&self, account: &Account, id: u64) -> Result<(), Refusal> {
        let (action, target) = (format!("drop_{}", T::WORD), id.to_string());
        let call = Call { who: &account.name, action: &action, target: &target };
        let work = || self.kept().drop_one::<T>(account, id);
        self.audit().around((&call, ""), work, |()| (Outcome::Done, String::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, role: Access, namespaces: Option<&str>) -> Account {
        let namespaces = namespaces.map(|own| [own.to_owned()].into());
        Account { name: name.to_owned(), role, namespaces, expires: None }
    }

    fn view(name: &str, shared: bool) -> NewKept<View> {
        let what = View { query: "by=pod".to_owned() };
        NewKept { name: name.to_owned(), shared, what }
    }

    #[test]
    fn each_sees_their_own_and_what_is_shared_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let book = KeptBook::open(folder.path()).unwrap();
        let (ann, bob) =
            (account("ann", Access::Author, None), account("bob", Access::Viewer, None));
        let own = book.keep(&ann, view("own", false)).unwrap();
        let shared = book.keep(&ann, view("shared", true)).unwrap();
        assert!(book.keep(&ann, view("own", false)).is_err(), "there is one of this name");
        book.keep(&bob, view("own", false)).unwrap();
        let book = KeptBook::open(folder.path()).unwrap();
        let names = |account: &Account| {
            let all = book.list::<View>(account);
            all.into_iter().map(|one| (one.name, one.owner)).collect::<Vec<_>>()
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(names(&ann), [pair("own", "ann"), pair("shared", "ann")]);
        assert_eq!(names(&bob), [pair("own", "bob"), pair("shared", "ann")]);
        let some = account("carl", Access::Author, Some("shop"));
        assert_eq!(names(&some), []);
        assert!(matches!(book.drop_one::<View>(&bob, own.id), Err(Refusal::Unknown(_))));
        assert!(matches!(book.drop_one::<View>(&bob, shared.id), Err(Refusal::Denied(_))));
        assert!(matches!(book.drop_one::<Noisy>(&ann, own.id), Err(Refusal::Unknown(_))));
        book.drop_one::<View>(&ann, own.id).unwrap();
        book.forget("bob");
        assert_eq!(names(&bob), [pair("shared", "ann")]);
        assert!(book.keep(&ann, view("own", false)).unwrap().id > shared.id, "ids come once");
    }

    #[test]
    fn what_one_keeps_is_bounded_and_a_broken_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let book = KeptBook::open(folder.path()).unwrap();
        let ann = account("ann", Access::Viewer, None);
        for number in 0..OWN_MAX {
            book.keep(&ann, view(&number.to_string(), false)).unwrap();
        }
        assert!(book.keep(&ann, view("more", false)).is_err());
        std::fs::write(folder.path().join(NAME), "[]").unwrap();
        assert!(KeptBook::open(folder.path()).is_err());
    }
}
