#include "schema.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

// Version n is the state after steps 1 to n; a step that was released is never changed.
//
// `position` is the order in which objects were made: what lists follow, since many are made within one second. `body`
// is the object (record.h); the other columns are what is looked up by. An object that is deleted leaves its position
// in `gone`, so that a reader who deletes while he pages can go on from where he was.
constexpr std::array<const char*, 2> kSteps = {R"sql(
CREATE TABLE assistants (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                         body TEXT NOT NULL);
CREATE INDEX assistants_by_project ON assistants (project, position);

CREATE TABLE threads (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                      body TEXT NOT NULL);

CREATE TABLE messages (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                       thread TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE, run TEXT NOT NULL,
                       body TEXT NOT NULL);
CREATE INDEX messages_by_thread ON messages (thread, position);

CREATE TABLE runs (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                   thread TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE, active INTEGER NOT NULL,
                   body TEXT NOT NULL);
CREATE INDEX runs_by_thread ON runs (thread, position);
-- One run at a time holds a thread: held by the database too.
CREATE UNIQUE INDEX runs_active ON runs (thread) WHERE active = 1;

CREATE TABLE steps (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                    thread TEXT NOT NULL, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, body TEXT NOT NULL);
CREATE INDEX steps_by_run ON steps (run, position);

-- Every transition of a run; the state that it left is in the row of its object.
CREATE TABLE run_events (run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, sequence INTEGER NOT NULL,
                         kind INTEGER NOT NULL, object TEXT NOT NULL, at_us INTEGER NOT NULL,
                         PRIMARY KEY (run, sequence)) WITHOUT ROWID;

CREATE TABLE files (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                    purpose TEXT NOT NULL, sha256 TEXT NOT NULL, expires_at_us INTEGER, body TEXT NOT NULL);
CREATE INDEX files_by_project ON files (project, position);
CREATE INDEX files_by_blob ON files (sha256);
CREATE INDEX files_expiring ON files (expires_at_us) WHERE expires_at_us IS NOT NULL;

CREATE TABLE stores (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                     expires_at_us INTEGER, body TEXT NOT NULL);
CREATE INDEX stores_by_project ON stores (project, position);
CREATE INDEX stores_expiring ON stores (expires_at_us) WHERE expires_at_us IS NOT NULL;

CREATE TABLE store_files (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL,
                          store TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE, id TEXT NOT NULL,
                          batch TEXT NOT NULL, status INTEGER NOT NULL, usage_bytes INTEGER NOT NULL,
                          body TEXT NOT NULL, UNIQUE (store, id));
CREATE INDEX store_files_by_file ON store_files (id);
CREATE INDEX store_files_by_status ON store_files (store, status, usage_bytes);
CREATE INDEX store_files_by_batch ON store_files (batch, status) WHERE batch != '';
CREATE INDEX store_files_pending ON store_files (position) WHERE status = 0;

CREATE TABLE batches (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                      store TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE, body TEXT NOT NULL);

CREATE TABLE keys (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, body TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE gone (id TEXT PRIMARY KEY, position INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER assistants_gone AFTER DELETE ON assistants
  BEGIN INSERT OR REPLACE INTO gone VALUES (old.id, old.position, unixepoch()); END;
CREATE TRIGGER messages_gone AFTER DELETE ON messages
  BEGIN INSERT OR REPLACE INTO gone VALUES (old.id, old.position, unixepoch()); END;
CREATE TRIGGER files_gone AFTER DELETE ON files
  BEGIN INSERT OR REPLACE INTO gone VALUES (old.id, old.position, unixepoch()); END;
CREATE TRIGGER stores_gone AFTER DELETE ON stores
  BEGIN INSERT OR REPLACE INTO gone VALUES (old.id, old.position, unixepoch()); END;
CREATE TRIGGER store_files_gone AFTER DELETE ON store_files
  BEGIN INSERT OR REPLACE INTO gone VALUES (old.store || '/' || old.id, old.position, unixepoch()); END;
)sql",
                                               R"sql(
CREATE TABLE containers (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                         name TEXT NOT NULL, last_active_us INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX containers_by_project ON containers (project, position);
CREATE INDEX containers_by_name ON containers (project, name, position);
CREATE INDEX containers_by_use ON containers (last_active_us);

CREATE TABLE uploads (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                      pending INTEGER NOT NULL, expires_at_us INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX uploads_pending ON uploads (expires_at_us) WHERE pending = 1;
CREATE TABLE upload_parts (position INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, id TEXT NOT NULL UNIQUE,
                           upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE, sha256 TEXT NOT NULL,
                           body TEXT NOT NULL);
CREATE INDEX upload_parts_by_upload ON upload_parts (upload, position);
CREATE INDEX upload_parts_by_blob ON upload_parts (sha256);

CREATE TRIGGER containers_gone AFTER DELETE ON containers
  BEGIN INSERT OR REPLACE INTO gone VALUES (old.id, old.position, unixepoch()); END;
)sql"};

// Nobody pages for longer than this.
constexpr char kForget[] = "DELETE FROM gone WHERE at < unixepoch() - 7 * 86400;";

}  // namespace

absl::Status Migrate(Database& database) {
  int64_t version = 0;
  {
    GATEWAY_ASSIGN_OR_RETURN(Statement read, database.Prepare("PRAGMA user_version"));
    GATEWAY_RETURN_IF_ERROR(read.Step().status());
    version = read.Integer(0);
  }
  if (version > static_cast<int64_t>(kSteps.size())) {
    return absl::FailedPreconditionError(absl::StrCat("the gateway's database has schema version ", version,
                                                      ", this program knows ", kSteps.size(), ": use a newer one"));
  }
  for (; version < static_cast<int64_t>(kSteps.size()); ++version) {
    GATEWAY_RETURN_IF_ERROR(database.Execute(
        absl::StrCat("BEGIN IMMEDIATE;", kSteps[version], "PRAGMA user_version = ", version + 1, ";COMMIT;")));
  }
  return database.Execute(kForget);
}

}  // namespace carrel::gateway
