//! One order of the leader's: looked up at the authority, and carried on as far as it goes without waiting. Each step is
//! written behind the fence before its effect is made elsewhere, so that whoever leads next goes on from there.

use instant_acme::{Account, Identifier, NewOrder};
use kontena_core::acme::{
    Challenge, Deploying, Fault, Goal, Held, Method, Next, Proof, ProofStatus, RECORD, Recorded, Sight, Then,
    decide, is_token, issued,
};
use kontena_core::id::Id;
use kontena_store::{
    AuthorizationRow, Batch, Effect, Issued, OrderRow, OrderState, OrderSteps, Presented, WriteError,
};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::account::new_key;
use super::look::{Domain, Looked};
use super::{Acme, Trouble};
use crate::duties::Leader;

/// More steps one order does not take at once.
const STEPS_MAX: usize = 24;
/// No common name is longer.
const COMMON_NAME_MAX: usize = 64;

/// How far an order came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has come to its end, or rests.
    Ended(OrderState),
    /// It waits for something.
    Waits(&'static str),
    /// It was changed by others.
    Overtaken,
}

/// Proofs of single domains that must come before an order for all of them.
enum Earlier {
    Proven,
    Open,
    Failed(Fault),
}

/// An order with what belongs to it.
struct Task<'a> {
    acme: &'a Acme,
    leader: &'a Leader,
    row: OrderRow,
    rows: Vec<AuthorizationRow>,
}

impl Acme {
    /// Carries an order on as far as it goes. What went wrong for good is written down.
    pub(crate) async fn carry_on(&self, leader: &Leader, order: Id) -> Result<Step, Trouble> {
        for _ in 0..STEPS_MAX {
            let Some(row) = leader.store.acme_orders().by_id(order).await? else {
                return Ok(Step::Overtaken);
            };
            if !row.state.is_under_way() {
                return Ok(Step::Ended(row.state));
            }
            let grid = row.grid;
            let rows = leader.store.certificates().authorizations(grid, None).await?;
            let task = Task { acme: self, leader, row, rows };
            let outcome = match task.step().await {
                Err(Trouble::Final(fault)) => {
                    if fault == Fault::unregistered() {
                        self.forget(grid);
                    }
                    task.fail(&fault, &[]).await.map(|()| None)
                }
                Err(Trouble::Gone(why)) => {
                    self.forget(grid);
                    task.fail(&Fault::new("acme_client", why), &[]).await.map(|()| None)
                }
                outcome => outcome,
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(step)) => return Ok(step),
                Err(Trouble::Write(WriteError::Stale)) => return Ok(Step::Overtaken),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(Step::Waits("the next run"))
    }

    /// Writes down that an order has failed, after what passes did not pass.
    pub(crate) async fn give_up(&self, leader: &Leader, order: Id, why: &str) -> Result<(), Trouble> {
        let Some(row) = leader.store.acme_orders().by_id(order).await? else { return Ok(()) };
        let task = Task { acme: self, leader, row, rows: Vec::new() };
        if task.row.state == OrderState::Wanted {
            task.commit("acme", vec![task.steps().begin()]).await?;
        }
        task.fail(&Fault::new("acme_client", why), &[]).await
    }
}

impl Task<'_> {
    fn steps(&self) -> OrderSteps<'_> {
        OrderSteps(&self.row)
    }

    /// Each step has a name of its own, which its commands carry.
    async fn commit(&self, step: &'static str, effects: Vec<Effect>) -> Result<(), Trouble> {
        let batch = Batch { duty: step, term: self.leader.term, effects };
        Ok(self.leader.writer.commit(batch).await?)
    }

    async fn fail(&self, fault: &Fault, refused: &[&str]) -> Result<(), Trouble> {
        let OrderRow { domains, renews, grid, .. } = &self.row;
        let subject = domains.first().map_or("", String::as_str);
        self.commit("acme_fail", self.steps().fail(fault, refused)).await?;
        tracing::warn!(domains = domains.join(","), field = fault.field, "no certificate: {}", fault.message);
        if *renews {
            let message = format!("certificate {subject} was not renewed: {}", fault.message);
            self.leader.tell_grid(*grid, "certificate:renewal", 3, message).await;
        }
        Ok(())
    }

    /// Makes one step. `None`: the next one can be made.
    async fn step(&self) -> Result<Option<Step>, Trouble> {
        if self.row.state == OrderState::Wanted {
            // From here on something may have been asked of the authority.
            self.commit("acme", vec![self.steps().begin()]).await?;
            return Ok(None);
        }
        match self.earlier().await? {
            Earlier::Proven => {}
            Earlier::Open => return Ok(Some(Step::Waits("its domains are proven one by one"))),
            Earlier::Failed(fault) => return self.fail(&fault, &[]).await.map(|()| None),
        }
        let account = self.acme.account(self.row.grid).await?;
        // Of another authority than the one that is configured now nothing is of use.
        let here = self.row.directory == self.acme.directory();
        let looked = match &self.row.url {
            Some(url) if here => self.acme.look(&account, url).await?,
            Some(_) | None => None,
        };
        let sight = looked.as_ref().map(|looked| self.sight(looked)).transpose()?;
        let recorded = Recorded {
            goal: self.row.goal,
            age: self.row.age,
            answered: self.row.answered,
            keyed: self.row.key.is_some(),
        };
        let next = decide(&recorded, sight.as_ref());
        tracing::debug!(domains = self.row.domains.join(","), ?next, "an order at the authority");
        match (next, looked) {
            (Next::Create, _) => self.create(&account).await.map(|()| None),
            (Next::Wait(why), _) => Ok(Some(Step::Waits(why))),
            (Next::Fail(fault), looked) => {
                let domains = looked.map(|looked| looked.domains).unwrap_or_default();
                let refused =
                    domains.iter().filter(|domain| matches!(domain.status, ProofStatus::Refused(_)));
                let refused: Vec<&str> = refused.map(|domain| domain.name.as_str()).collect();
                self.fail(&fault, &refused).await.map(|()| None)
            }
            (Next::Present(places, then), Some(looked)) => {
                self.present(&looked, &places, &then).await.map(|()| None)
            }
            (Next::Answer(places), Some(looked)) => self.answer(looked, &places).await,
            (Next::Proven, Some(looked)) => {
                let proven = self.steps().proven(&proven(&looked));
                self.commit("acme_proven", vec![proven, self.steps().rest(None)]).await.map(|()| None)
            }
            (Next::MakeKey, Some(_)) => {
                let key = self.acme.vault()?.encrypt(&new_key()?.serialize_pem(), rand::random());
                self.commit("acme_key", vec![self.steps().keyed(&key)]).await.map(|()| None)
            }
            (Next::Finalize, Some(looked)) => self.finalize(looked).await.map(|()| None),
            (Next::Fetch, Some(looked)) => self.fetch(looked).await.map(|()| None),
            (_, None) => Ok(Some(Step::Waits("the authority"))),
        }
    }

    /// What became of the proofs of single domains that must be there before.
    async fn earlier(&self) -> Result<Earlier, Trouble> {
        if self.row.url.is_some() {
            return Ok(Earlier::Proven);
        }
        let earlier = self.leader.store.acme_orders().by_ids(&self.row.after).await?;
        if let Some((field, message)) = earlier.iter().find_map(|row| row.fault.as_ref()) {
            return Ok(Earlier::Failed(Fault { field: field_named(field), message: message.clone() }));
        }
        let open = earlier.iter().any(|row| row.state.is_under_way());
        Ok(if open { Earlier::Open } else { Earlier::Proven })
    }

    fn row_of(&self, domain: &str) -> Option<&AuthorizationRow> {
        self.rows.iter().find(|row| row.domain == domain)
    }

    /// What is recorded and what the authority says, put together.
    fn sight(&self, looked: &Looked) -> Result<Sight, Trouble> {
        let proofs = looked.domains.iter().map(|domain| self.proof(domain)).collect::<Result<_, _>>()?;
        Ok(Sight { status: looked.status, error: looked.error.clone(), proofs })
    }

    fn proof(&self, domain: &Domain) -> Result<Proof, Trouble> {
        let held = self.held(domain)?;
        let offer = held.as_ref().and_then(|held| domain.offer(held.method));
        let challenge = offer.map(|offer| Challenge {
            token: offer.token.clone(),
            answer: offer.answer.clone(),
            waits: offer.waits,
            told: self.acme.was_told(self.row.id, &offer.token),
        });
        Ok(Proof { domain: domain.name.clone(), status: domain.status.clone(), challenge, held })
    }

    fn held(&self, domain: &Domain) -> Result<Option<Held>, Trouble> {
        let row = self.row_of(&domain.name);
        let own = row.is_some_and(|row| row.order == Some(self.row.id));
        if self.row.goal == Goal::Offer {
            // How the domain shall be proven stands in the order, until it is written into the authorization.
            let Some(method) = self.row.method else { return Ok(None) };
            let same = |row: &&AuthorizationRow| {
                own && row.authorization_type == method.name() && row.service == self.row.service
            };
            let row = row.filter(same);
            return Ok(Some(held(method, row, row.is_some())));
        }
        let Some(row) = row else { return Ok(None) };
        match Method::named(&row.authorization_type) {
            Some(method) => Ok(Some(held(method, Some(row), own))),
            None if domain.status == ProofStatus::Valid => Ok(Some(held(Method::Dns, Some(row), own))),
            None => Err(Trouble::Final(Fault::outdated(&domain.name, &row.authorization_type))),
        }
    }

    async fn create(&self, account: &Account) -> Result<(), Trouble> {
        let identifiers: Vec<Identifier> = self.row.domains.iter().cloned().map(Identifier::Dns).collect();
        let order = account.new_order(&NewOrder::new(&identifiers)).await?;
        self.commit("acme_url", vec![self.steps().located(order.url())]).await
    }

    async fn present(&self, looked: &Looked, places: &[usize], then: &Then) -> Result<(), Trouble> {
        let mut presented = Vec::new();
        for domain in places.iter().filter_map(|at| looked.domains.get(*at)) {
            let Some(held) = self.held(domain)? else { continue };
            // Of what is proven already the authority may show the challenge of another method only.
            let Some(offer) = domain.offer(held.method).or(domain.offers.first()) else { continue };
            if !is_token(&offer.token) {
                let fault =
                    Fault::new("challenge", "The authority names a challenge in a way that cannot be used");
                return Err(Trouble::Final(fault));
            }
            let service = match self.row.goal {
                Goal::Offer => self.row.service,
                Goal::Prove | Goal::Issue => self.row_of(&domain.name).and_then(|row| row.service),
            };
            let record = (held.method == Method::Dns).then_some(RECORD);
            presented.push((domain, held.method, service, offer, record));
        }
        let services: Vec<Id> = presented.iter().filter_map(|(_, _, service, ..)| *service).collect();
        let there = self.leader.store.service_references().service_paths(services.iter().copied()).await?;
        if services.iter().any(|service| !there.contains_key(service)) {
            let fault = Fault::new("linked_service", "Linked service needs to point to existing service");
            return Err(Trouble::Final(fault));
        }
        let written: Vec<Presented<'_>> = presented
            .iter()
            .map(|(domain, method, service, offer, record)| Presented {
                domain: &domain.name,
                method: *method,
                service: *service,
                proven: domain.status == ProofStatus::Valid,
                url: &offer.url,
                token: &offer.token,
                answer: &offer.answer,
                record: record.as_deref(),
            })
            .collect();
        let (mut effects, deployed) = self.steps().present(&written);
        if let Then::Rest(fault) = then {
            effects.push(self.steps().rest(fault.as_ref()));
        }
        if effects.is_empty() {
            return Ok(());
        }
        self.commit("acme_present", effects).await?;
        for service in deployed {
            self.leader.deployer.wake(service);
        }
        Ok(())
    }

    async fn answer(&self, mut looked: Looked, places: &[usize]) -> Result<Option<Step>, Trouble> {
        let mut ready: Vec<(String, Method)> = Vec::new();
        for domain in places.iter().filter_map(|at| looked.domains.get(*at)) {
            if let Some(held) = self.held(domain)? {
                ready.push((domain.name.clone(), held.method));
            }
        }
        let names: Vec<&str> = ready.iter().map(|(name, _)| name.as_str()).collect();
        self.commit("acme_answer", self.steps().answer(&names).into()).await?;
        self.acme.tell_ready(&mut looked.order, &ready).await?;
        for (name, method) in &ready {
            let offer = looked
                .domains
                .iter()
                .find(|domain| domain.name == *name)
                .and_then(|domain| domain.offer(*method));
            if let Some(offer) = offer {
                self.acme.tell(self.row.id, &offer.token);
            }
        }
        Ok(Some(Step::Waits("the authority looks for the answers")))
    }

    async fn finalize(&self, mut looked: Looked) -> Result<(), Trouble> {
        let request = self.request().map_err(|error| {
            Trouble::Final(Fault::new(
                "acme_client",
                format!("No request for a certificate can be made: {error}"),
            ))
        })?;
        looked.order.finalize_csr(&request).await?;
        Ok(())
    }

    fn request(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let key = self.row.key.as_deref().unwrap_or_default();
        let key = KeyPair::from_pem(&self.acme.vault()?.decrypt(key)?)?;
        let mut parameters = CertificateParams::new(self.row.domains.clone())?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(subject) = self.row.domains.first().filter(|subject| subject.len() <= COMMON_NAME_MAX) {
            parameters.distinguished_name.push(DnType::CommonName, subject.as_str());
        }
        Ok(parameters.serialize_request(&key)?.der().to_vec())
    }

    async fn fetch(&self, mut looked: Looked) -> Result<(), Trouble> {
        let pem = looked.order.certificate().await?;
        let pem = pem.ok_or_else(|| Trouble::Passing("the certificate is not there yet".to_owned()))?;
        let chain = issued(&pem).ok_or_else(|| {
            Trouble::Final(Fault::new("acme_client", "The authority has issued what is no certificate"))
        })?;
        let plain = self.acme.vault()?.decrypt(self.row.key.as_deref().unwrap_or_default())?;
        let private_key = self.acme.vault()?.encrypt(&plain, rand::random());
        let issued = Issued {
            certificate: &chain.certificate,
            chain: &chain.chain,
            private_key: &private_key,
            valid_until: chain.valid_until,
        };
        self.commit("acme_done", self.steps().done(&issued)).await?;
        let OrderRow { domains, renews, grid, .. } = &self.row;
        let subject = domains.first().map_or("", String::as_str);
        tracing::info!(domains = domains.join(","), "a certificate was issued");
        if *renews {
            let message = format!("certificate {subject} was renewed");
            self.leader.tell_grid(*grid, "certificate:renewal", 1, message).await;
        }
        Ok(())
    }
}

fn held(method: Method, row: Option<&AuthorizationRow>, own: bool) -> Held {
    let deploying = match row.and_then(|row| row.deploy.as_ref()) {
        Some((_, false)) => Deploying::Open,
        Some((state, true)) if state == "error" => Deploying::Failed,
        Some((_, true)) | None => Deploying::Done,
    };
    Held { method, token: row.and_then(AuthorizationRow::token).map(str::to_owned), own, deploying }
}

fn proven(looked: &Looked) -> Vec<&str> {
    let proven = looked.domains.iter().filter(|domain| domain.status == ProofStatus::Valid);
    proven.map(|domain| domain.name.as_str()).collect()
}

/// The names that faults have.
fn field_named(name: &str) -> &'static str {
    const FIELDS: [&str; 6] =
        ["authorization", "challenge", "challenge_verify", "dns_record", "le_registration", "linked_service"];
    FIELDS.into_iter().find(|field| *field == name).unwrap_or("acme_client")
}
