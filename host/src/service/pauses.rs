//! Pauses of the loop guard: conversations in which a bot is silent, since it
//! seemed to talk to another bot there.

use super::{Error, Service};
use crate::domain::{
    AccountId, Pause,
    ports::{Commit, Page, PauseChange},
};

impl Service {
    /// What an account's bot is paused in now, ordered by conversation. A page may
    /// have fewer than `limit` and yet not be the last.
    pub async fn pauses(
        &self,
        id: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Pause>, Error> {
        self.account(id).await?;
        let mut page = self.0.store.pauses(id, after, limit).await?;
        let now_ms = self.0.store.now();
        page.items.retain(|pause| pause.until_ms > now_ms);
        Ok(page)
    }

    /// Lets an account's bot answer in a conversation again, and gives the pause
    /// that this ended.
    pub async fn lift_pause(&self, id: &AccountId, conversation: &str) -> Result<Pause, Error> {
        let (service, id) = (self.clone(), id.clone());
        let conversation = conversation.to_owned();
        self.detached(async move { service.lift_in_turn(&id, conversation).await })
            .await
    }

    async fn lift_in_turn(&self, id: &AccountId, conversation: String) -> Result<Pause, Error> {
        // Looked for before a turn is made for an account that nobody knows.
        self.account(id).await?;
        let mut turn = self.turn(id).await?;
        let found = self.0.store.pause(id, &conversation).await?;
        let pause = found.ok_or_else(|| Error::not_found("pause in", &conversation))?;
        let commit = Commit {
            pauses: vec![PauseChange::Lift(conversation.clone())],
            ..Commit::default()
        };
        self.commit(&turn, id, commit.into()).await?;
        turn.pauses.remove(&conversation);
        turn.guard.lifted(&conversation);
        Ok(pause)
    }
}
