//! The account of a grid at the authority: its key is a secret of the grid, as in the original, and its address is asked
//! of the authority. The original's keys are RSA, and belong to a protocol that has ended: they stay as they are, and
//! the new key, on the curve P-256, gets a secret of its own beside them.

use instant_acme::{Account, Error, Key};
use kontena_core::acme::{Fault, pkcs8};
use kontena_core::id::Id;
use kontena_core::vault::Vault;
use kontena_store::Failure;
use rcgen::KeyPair;

use super::trouble::is_bad_nonce;
use super::{Acme, Trouble};

/// How often an account is asked for whose authority takes no nonce. The library has tried each three times by then; a
/// user who waits is not to be troubled with what only has to be said again.
const NONCE_TRIES: u32 = 5;

/// Where keys are kept: the original's secret, and the one beside it.
const KEYS: [&str; 2] = ["LE_PRIVATE_KEY", "ACME_PRIVATE_KEY"];

/// A key with the stored value that it was read from.
struct StoredKey {
    stored: String,
    der: Vec<u8>,
}

/// Which secrets there are, and the key if one of them is usable.
#[derive(Default)]
struct Keys {
    taken: Vec<&'static str>,
    usable: Option<StoredKey>,
}

impl Acme {
    /// The vault.
    pub(super) fn vault(&self) -> Result<&Vault, Trouble> {
        self.vault.as_ref().ok_or(Trouble::NoVault)
    }

    async fn keys(&self, grid: Id) -> Result<Keys, Trouble> {
        let mut keys = Keys::default();
        for name in KEYS {
            let Some(row) = self.store.grid_secrets().by_name(grid, name).await? else { continue };
            keys.taken.push(name);
            let der = pkcs8(&self.vault()?.decrypt(&row.value)?);
            let der = der.filter(|der| Key::from_pkcs8_der(der.as_slice().into()).is_ok());
            keys.usable = keys.usable.or(der.map(|der| StoredKey { stored: row.value, der }));
        }
        Ok(keys)
    }

    /// Whether a grid has an account, as far as can be seen from here.
    pub(crate) async fn is_registered(&self, grid: Id) -> Result<bool, Trouble> {
        Ok(self.keys(grid).await?.usable.is_some())
    }

    /// Makes an account for a grid, whose owner agrees to the authority's terms, or changes the address of the one
    /// that it has. A new key is kept when the authority has taken it, so that a refusal changes nothing; an account
    /// whose key was not kept does no harm.
    pub(crate) async fn register(&self, grid: Id, email: &str) -> Result<(), Trouble> {
        let keys = self.keys(grid).await?;
        if let Some(key) = keys.usable {
            return self.sign_up(grid, key, email).await;
        }
        let Some(name) = KEYS.into_iter().find(|name| !keys.taken.contains(name)) else {
            let message =
                format!("The secrets {} hold no key that can be used: remove one", KEYS.join(" and "));
            return Err(Trouble::Final(Fault::new("acme", message)));
        };
        let pem = new_key()?.serialize_pem();
        let stored = self.vault()?.encrypt(&pem, rand::random());
        let key = StoredKey { stored: stored.clone(), der: pkcs8(&pem).unwrap_or_default() };
        self.sign_up(grid, key, email).await?;
        match self.store.grid_secrets().create(grid, name, &stored).await {
            // Another request was faster: its key is the grid's.
            Err(Failure::Duplicate) => match self.keys(grid).await?.usable {
                Some(theirs) => self.sign_up(grid, theirs, email).await,
                None => Err(Trouble::Passing("the account's key was just changed".to_owned())),
            },
            Err(failure) => Err(failure.into()),
            Ok(_) => Ok(()),
        }
    }

    async fn sign_up(&self, grid: Id, key: StoredKey, email: &str) -> Result<(), Trouble> {
        let contact = format!("mailto:{email}");
        let mut tries = 1;
        let account = loop {
            let pair = pair(&key)?;
            let signed_up = async {
                let (account, _) = self.builder().create_from_key(pair, self.directory.clone()).await?;
                account.update_contacts(&[&contact]).await?;
                Ok::<Account, Error>(account)
            };
            match signed_up.await {
                Err(error) if is_bad_nonce(&error) && tries < NONCE_TRIES => tries += 1,
                outcome => break outcome?,
            }
        };
        self.remember(grid, key.stored, &account);
        Ok(())
    }

    /// The account of a grid.
    pub(super) async fn account(&self, grid: Id) -> Result<Account, Trouble> {
        let key = self.keys(grid).await?.usable.ok_or_else(|| Trouble::Final(Fault::unregistered()))?;
        if let Some(account) = self.known(grid, &key.stored) {
            return Ok(account);
        }
        let (account, _) = self.builder().from_key(pair(&key)?, self.directory.clone()).await?;
        self.remember(grid, key.stored, &account);
        Ok(account)
    }
}

/// A new key on the curve P-256.
pub(super) fn new_key() -> Result<KeyPair, Trouble> {
    KeyPair::generate().map_err(|error| Trouble::Passing(format!("no key can be made: {error}")))
}

/// As the protocol's library wants it.
fn pair<K>(key: &StoredKey) -> Result<(Key, K), Trouble>
where
    K: TryFrom<Vec<u8>>,
{
    let unusable = || Trouble::Final(Fault::new("acme_client", "The account's key cannot be used"));
    let pair = Key::from_pkcs8_der(key.der.as_slice().into()).map_err(|_| unusable())?;
    Ok((pair, K::try_from(key.der.clone()).map_err(|_| unusable())?))
}
