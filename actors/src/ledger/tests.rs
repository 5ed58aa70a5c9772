use diesel::connection::SimpleConnection;
use diesel::prelude::*;
pub(super) enum Fault {
    AfterCommit,
    InsteadOfCommit,
}
impl Fault {
    pub(super) fn commit(self, c: &mut SqliteConnection) -> QueryResult<()> {
        if matches!(self, Self::AfterCommit) {
            c.batch_execute("COMMIT")?;
        }
        Err(diesel::result::Error::RollbackTransaction)
    }
}
