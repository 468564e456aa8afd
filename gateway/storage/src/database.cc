#include "database.h"

#include "absl/strings/str_cat.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

// A reader that finds the database locked (at start, while another connection recovers the log) waits this long.
constexpr int kBusyMs = 10'000;

}  // namespace

absl::Status SqliteStatus(sqlite3* connection, int code) {
  std::string message = absl::StrCat("SQLite: ", sqlite3_errmsg(connection), " (", code, ")");
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::FailedPreconditionError(message);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_CONSTRAINT:
      return absl::AbortedError(message);
    default:
      return absl::InternalError(message);
  }
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::Bind(std::string_view text) {
  sqlite3_bind_text64(statement_, next_++, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Statement& Statement::Bind(int64_t number) {
  sqlite3_bind_int64(statement_, next_++, number);
  return *this;
}

Statement& Statement::BindNull() {
  sqlite3_bind_null(statement_, next_++);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteStatus(sqlite3_db_handle(statement_), code);
}

absl::Status Statement::Run() { return Step().status(); }

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  return text == nullptr ? ""
                         : std::string(reinterpret_cast<const char*>(text), sqlite3_column_bytes(statement_, column));
}

int64_t Statement::Integer(int column) const { return sqlite3_column_int64(statement_, column); }

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, bool writer) {
  sqlite3* connection = nullptr;
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | (writer ? SQLITE_OPEN_CREATE : 0);
  int code = sqlite3_open_v2(path.c_str(), &connection, flags, nullptr);
  std::unique_ptr<Database> database(new Database(connection));
  if (code != SQLITE_OK) return SqliteStatus(connection, code);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, kBusyMs);
  GATEWAY_RETURN_IF_ERROR(database->Execute("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;"));
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  std::string key(sql);
  auto found = prepared_.find(key);
  if (found == prepared_.end()) {
    sqlite3_stmt* statement = nullptr;
    int code = sqlite3_prepare_v3(connection_, key.c_str(), static_cast<int>(key.size()), SQLITE_PREPARE_PERSISTENT,
                                  &statement, nullptr);
    if (code != SQLITE_OK) return SqliteStatus(connection_, code);
    found = prepared_.emplace(std::move(key), statement).first;
  }
  return Statement(found->second);
}

absl::Status Database::Execute(const std::string& sql) {
  return SqliteStatus(connection_, sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr));
}

}  // namespace carrel::gateway
