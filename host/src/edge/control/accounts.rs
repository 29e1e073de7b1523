//! Accounts, and what is known of each: events, failures and contacts.

use axum::{Json as Answer, extract::State};

use super::{
    input::{Path, Path2, Query},
    wire::{AccountView, EventView, List},
};
use crate::{
    domain::{Account, AccountId, Contact, ContactKind, EventKey, Failure, Group, Label, Member},
    edge::error::Problem,
    service::Service,
};

/// How many of its last failures an account shows.
const FAILURES_SHOWN: usize = 5;

pub async fn list(
    State(service): State<Service>,
    query: Query,
) -> Result<Answer<List<AccountView>>, Problem> {
    let query = query.only(&["after", "limit", "label"])?;
    let (after, limit) = (query.after(), query.limit()?);
    let page = match query.get("label") {
        None => service.accounts(after, limit).await?,
        Some(label) => {
            let label = Label::try_from(label);
            let label = label.map_err(|bad| Problem::bad_field("label", bad))?;
            service.accounts_with(&label, after, limit).await?
        }
    };
    Ok(Answer(List::of(page, |account| view(&service, account))))
}

pub async fn show(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
) -> Result<Answer<AccountView>, Problem> {
    let mut shown = view(&service, service.account(&id).await?);
    shown.failures = Some(service.failures(&id, FAILURES_SHOWN).await?);
    shown.failing = service.failing(&id).await?;
    Ok(Answer(shown))
}

fn view(service: &Service, account: Account) -> AccountView {
    let serving = service.deployment_of(&account.id);
    let labels = service.labels(&account.id);
    AccountView::new(account, labels, serving.map(|it| it.handler.clone()))
}

pub async fn events(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<EventView>>, Problem> {
    let query = query.only(&["after", "limit"])?;
    let page = service.events(&id, query.after(), query.limit()?).await?;
    Ok(Answer(List::of(page, |(key, record)| {
        EventView::new(&id, key, record)
    })))
}

pub async fn event(
    State(service): State<Service>,
    Path2(id, key): Path2<AccountId, String>,
) -> Result<Answer<EventView>, Problem> {
    let key = EventKey::new(&key);
    let record = service.event(&id, &key).await?;
    Ok(Answer(EventView::new(&id, key, record)))
}

pub async fn failures(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<Failure>>, Problem> {
    let query = query.only(&["limit"])?;
    let failures = service.failures(&id, query.limit()?).await?;
    Ok(Answer(List::whole(failures)))
}

pub async fn contacts(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<Contact>>, Problem> {
    let query = query.only(&["kind", "after", "limit"])?;
    let kind = query.word("kind", &ContactKind::ALL, ContactKind::as_str)?;
    let page = service
        .contacts(&id, kind, query.after(), query.limit()?)
        .await?;
    Ok(Answer(List::of(page, |contact| contact)))
}

pub async fn groups(
    State(service): State<Service>,
    Path(id): Path<AccountId>,
    query: Query,
) -> Result<Answer<List<Group>>, Problem> {
    let query = query.only(&["after", "limit"])?;
    let kind = Some(ContactKind::Group);
    let page = service
        .contacts(&id, kind, query.after(), query.limit()?)
        .await?;
    let group = |contact| match contact {
        Contact::Group(group) => Some(group),
        Contact::User(_) | Contact::Official(_) => None,
    };
    Ok(Answer(List {
        items: page.items.into_iter().filter_map(group).collect(),
        next: page.next,
    }))
}

pub async fn members(
    State(service): State<Service>,
    Path2(id, group): Path2<AccountId, String>,
    query: Query,
) -> Result<Answer<List<Member>>, Problem> {
    let query = query.only(&["after", "limit"])?;
    let page = service
        .members(&id, &group, query.after(), query.limit()?)
        .await?;
    Ok(Answer(List::of(page, |member| member)))
}
