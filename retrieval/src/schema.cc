#include "schema.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

// Version n is made from version n-1 by kMigrations[n-1]. Never edit one that was released: add the next.
//
// A document is a name in a store for a content; a content is some bytes read with some settings, done once however
// many documents name it. indexed says which contents a store's searches may find. A large store also has a keyword
// index terms_<store> (contents.h): its statistics, and so its ranking, are of that store alone.
constexpr std::array<const char*, 3> kMigrations = {R"sql(
CREATE TABLE stores(
  row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, name TEXT NOT NULL,
  max_tokens INTEGER NOT NULL, overlap_tokens INTEGER NOT NULL, model TEXT NOT NULL, expires_after_days INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, active_ms INTEGER NOT NULL) STRICT;
CREATE INDEX stores_by_owner ON stores(owner, row);

CREATE TABLE contents(
  row INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL, type INTEGER NOT NULL,
  max_tokens INTEGER NOT NULL, overlap_tokens INTEGER NOT NULL, model TEXT NOT NULL, pipeline INTEGER NOT NULL,
  state INTEGER NOT NULL, verdict INTEGER, message TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
  next_try_ms INTEGER NOT NULL DEFAULT 0, title TEXT NOT NULL DEFAULT '',
  pages INTEGER NOT NULL DEFAULT 0, characters INTEGER NOT NULL DEFAULT 0,
  passages INTEGER NOT NULL DEFAULT 0, stored_bytes INTEGER NOT NULL DEFAULT 0,
  UNIQUE(sha256, type, max_tokens, overlap_tokens, model, pipeline)) STRICT;
CREATE INDEX contents_to_do ON contents(next_try_ms) WHERE state < 2;

CREATE TABLE documents(
  row INTEGER PRIMARY KEY AUTOINCREMENT, store INTEGER NOT NULL REFERENCES stores(row), id TEXT NOT NULL,
  content INTEGER NOT NULL REFERENCES contents(row), file_name TEXT NOT NULL, attributes TEXT NOT NULL,
  created_ms INTEGER NOT NULL, UNIQUE(store, id)) STRICT;
CREATE INDEX documents_by_content ON documents(content, store);

CREATE TABLE indexed(store INTEGER NOT NULL REFERENCES stores(row), content INTEGER NOT NULL REFERENCES contents(row),
  PRIMARY KEY(store, content)) STRICT, WITHOUT ROWID;
CREATE INDEX indexed_by_content ON indexed(content);

CREATE TABLE texts(content INTEGER NOT NULL REFERENCES contents(row), begin INTEGER NOT NULL, "end" INTEGER NOT NULL,
  utf8 BLOB NOT NULL, PRIMARY KEY(content, begin)) STRICT;
CREATE TABLE pages(content INTEGER NOT NULL REFERENCES contents(row), ordinal INTEGER NOT NULL,
  body_begin INTEGER NOT NULL, body_end INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(content, ordinal)) STRICT;
CREATE TABLE passages(row INTEGER PRIMARY KEY AUTOINCREMENT, content INTEGER NOT NULL REFERENCES contents(row),
  begin INTEGER NOT NULL, "end" INTEGER NOT NULL, heading TEXT NOT NULL) STRICT;
CREATE INDEX passages_by_content ON passages(content);
CREATE TABLE sub_passages(row INTEGER PRIMARY KEY AUTOINCREMENT, content INTEGER NOT NULL REFERENCES contents(row),
  passage INTEGER NOT NULL REFERENCES passages(row), begin INTEGER NOT NULL, "end" INTEGER NOT NULL,
  heading TEXT NOT NULL, vector BLOB) STRICT;
CREATE INDEX sub_passages_by_content ON sub_passages(content);
CREATE INDEX sub_passages_by_passage ON sub_passages(passage);
CREATE TABLE sub_terms(row INTEGER PRIMARY KEY, heading TEXT NOT NULL, body TEXT NOT NULL) STRICT;
)sql",
                                                    // A store on its way to another model (reembedding.h); and how
                                                    // often something was taken out of its keyword index since that was
                                                    // last rewritten.
                                                    R"sql(
ALTER TABLE stores ADD COLUMN next_model TEXT NOT NULL DEFAULT '';
ALTER TABLE stores ADD COLUMN unmerged INTEGER NOT NULL DEFAULT 0;
UPDATE stores SET unmerged = 1;
ALTER TABLE documents ADD COLUMN next_content INTEGER REFERENCES contents(row);
CREATE INDEX documents_by_next_content ON documents(next_content, store) WHERE next_content IS NOT NULL;
)sql",
                                                    // Why a content that waits to be tried again was put off.
                                                    R"sql(
ALTER TABLE contents ADD COLUMN postponed TEXT NOT NULL DEFAULT '';
)sql"};

}  // namespace

absl::Status MigrateSchema(Connection& connection) {
  int64_t version = 0;
  {
    Statement query(connection, "PRAGMA user_version");
    if (query.Step()) version = query.Int(0);
    if (!query.ok()) return query.status();
  }
  if (version > static_cast<int64_t>(kMigrations.size())) {
    return absl::FailedPreconditionError(absl::StrCat("the database has schema version ", version,
                                                      ", this program knows ", kMigrations.size(),
                                                      ": it was written by a newer Carrel"));
  }
  for (; version < static_cast<int64_t>(kMigrations.size()); ++version) {
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(connection));
    RETURN_IF_ERROR(connection.Execute(kMigrations[static_cast<size_t>(version)]));
    RETURN_IF_ERROR(connection.Execute(absl::StrCat("PRAGMA user_version = ", version + 1)));
    RETURN_IF_ERROR(transaction.Commit());
  }
  return absl::OkStatus();
}

}  // namespace carrel::retrieval
