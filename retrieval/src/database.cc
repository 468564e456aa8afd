#include "database.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "clean_pages.h"
#include "schema.h"
#include "status_macros.h"
#include "views.h"

namespace carrel::retrieval {
namespace {

constexpr int kBusyMillis = 10'000;  // another process (a backup, the sqlite3 shell) may hold the file for a moment
constexpr size_t kIdleReadersMax = 8;
constexpr char kRowSetType[] = "carrel_row_set";

bool IsFull(int sqlite_code, sqlite3* db) {
  const int code = sqlite_code & 0xff;
  if (code == SQLITE_FULL) return true;
  // Where SQLite has no word of its own for it: the file that readers share, a directory.
  const bool io = code == SQLITE_IOERR || code == SQLITE_CANTOPEN;
  const int error = io ? sqlite3_system_errno(db) : 0;
  return error == ENOSPC || error == EDQUOT;
}

absl::StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kAlreadyExists;
    default:
      return absl::StatusCode::kInternal;
  }
}

// carrel_in(row, ?n): whether a bound RowSet holds the row. How a filter reaches into a keyword search.
void InRowSet(sqlite3_context* context, int, sqlite3_value** arguments) {
  const auto* rows = static_cast<const RowSet*>(sqlite3_value_pointer(arguments[1], kRowSetType));
  sqlite3_result_int(context, rows != nullptr && rows->contains(sqlite3_value_int64(arguments[0])));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      CleanPagesVfs().c_str());
  std::unique_ptr<Connection> connection(new Connection(db));
  if (code != SQLITE_OK) return connection->Error(code, absl::StrCat("open ", path));
  sqlite3_busy_timeout(db, kBusyMillis);
  sqlite3_create_function_v2(db, "carrel_in", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, InRowSet, nullptr,
                             nullptr, nullptr);
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, statements] : idle_) {
    for (sqlite3_stmt* statement : statements) sqlite3_finalize(statement);
  }
  sqlite3_close_v2(db_);
}

absl::Status Connection::Error(int code, std::string_view what) const {
  if (IsFull(code, db_)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the disk is full; free some of it and try again (database: ", Sv(what), ")"));
  }
  return {CodeOf(code), absl::StrCat("database: ", Sv(what), ": ", sqlite3_errmsg(db_))};
}

absl::Status Connection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code, sql.substr(0, 80));
}

int64_t Connection::last_row() const { return sqlite3_last_insert_rowid(db_); }
int64_t Connection::changed_rows() const { return sqlite3_changes64(db_); }
int64_t Connection::total_changed_rows() const { return sqlite3_total_changes64(db_); }

absl::StatusOr<bool> Connection::Checkpoint() {
  // Waiting for a reader would be waiting with the writer held.
  sqlite3_busy_timeout(db_, 0);
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(db_, kBusyMillis);
  if ((code & 0xff) == SQLITE_BUSY) return false;
  if (code != SQLITE_OK) return Error(code, "checkpoint");
  return true;
}

Statement::Statement(Connection& connection, std::string sql, Tag) : connection_(connection), sql_(std::move(sql)) {
  auto& idle = connection_.idle_[sql_];
  if (!idle.empty()) {
    statement_ = idle.back();
    idle.pop_back();
    return;
  }
  Check(sqlite3_prepare_v3(connection_.db_, sql_.c_str(), static_cast<int>(sql_.size()), SQLITE_PREPARE_PERSISTENT,
                           &statement_, nullptr),
        "prepare");
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  connection_.idle_[sql_].push_back(statement_);
}

void Statement::Check(int code, std::string_view what) {
  if (code == SQLITE_OK || !status_.ok()) return;
  status_ = connection_.Error(code, absl::StrCat(Sv(what), " ", sql_.substr(0, 80)));
}

void Statement::Reset() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

void Statement::Bind(int index, int64_t value) {
  if (ok()) Check(sqlite3_bind_int64(statement_, index, value), "bind");
}
void Statement::BindText(int index, std::string_view value) {
  if (ok()) {
    Check(sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8), "bind");
  }
}
void Statement::Bind(int index, const BlobView& blob) {
  if (ok()) {
    Check(sqlite3_bind_blob64(statement_, index, blob.bytes.data(), blob.bytes.size(), SQLITE_TRANSIENT), "bind");
  }
}
void Statement::Bind(int index, const RowSet* rows) {
  // The set is only read; SQLite's interface has no const pointer.
  if (ok()) Check(sqlite3_bind_pointer(statement_, index, const_cast<RowSet*>(rows), kRowSetType, nullptr), "bind");
}

bool Statement::Step() {
  if (!ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) Check(code, "run");
  return false;
}

absl::Status Statement::Run() {
  while (Step()) {
  }
  return status_;
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::Real(int column) const { return sqlite3_column_double(statement_, column); }
bool Statement::Null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
std::string_view Statement::Bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {data, data == nullptr ? 0 : static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

absl::StatusOr<Transaction> Transaction::Begin(Connection& connection) {
  RETURN_IF_ERROR(connection.Execute("BEGIN"));
  return Transaction(connection);
}

Transaction::~Transaction() {
  // A failed rollback leaves nothing to do: the connection reports it at its next use.
  if (connection_ != nullptr) connection_->Execute("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(connection_->Execute("COMMIT"));
  connection_ = nullptr;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const DatabaseOptions& options) {
  std::unique_ptr<Database> database(new Database(options));
  ASSIGN_OR_RETURN(database->writer_, Connection::Open(options.path));
  Connection& writer = *database->writer_;
  // auto_vacuum must be set before the first table; secure_delete overwrites what is deleted with zeros
  // where it stands (clean_pages.h has the rest).
  RETURN_IF_ERROR(
      writer.Execute("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;"
                     "PRAGMA secure_delete = ON; PRAGMA cache_size = -65536;"));
  RETURN_IF_ERROR(writer.Execute(options.sync_full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  RETURN_IF_ERROR(MigrateSchema(writer));
  return database;
}

absl::StatusOr<Database::Reader> Database::Read() {
  {
    const std::lock_guard lock(readers_mutex_);
    if (!readers_.empty()) {
      std::unique_ptr<Connection> connection = std::move(readers_.back());
      readers_.pop_back();
      return Reader(*this, std::move(connection));
    }
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Connection::Open(options_.path));
  RETURN_IF_ERROR(connection->Execute("PRAGMA query_only = ON; PRAGMA cache_size = -16384;"));
  return Reader(*this, std::move(connection));
}

Database::Reader::~Reader() {
  if (connection_ == nullptr) return;
  const std::lock_guard lock(database_->readers_mutex_);
  if (database_->readers_.size() < kIdleReadersMax) database_->readers_.push_back(std::move(connection_));
}

}  // namespace carrel::retrieval
