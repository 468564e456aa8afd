// What can be wrong with a request, as a closed set of cases. gateway_openai has the one table from these to HTTP
// status and words. They travel inside absl::Status (as a payload), so that every function of the gateway has one error
// type; a status without the payload is our own fault or a backend's, and is shown as a server error.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace carrel::gateway {

enum class ErrorKind {
  // args: the noun ("thread", "run step", …), the id.
  kObjectMissing,
  // args: the file's id; of /files.
  kFileMissing,
  // param; args: the value, the prefix that was expected.
  kIdPrefix,
  // args: thread, run.
  kMessageWhileRunActive,
  kThreadHasActiveRun,
  // args: the run's status.
  kOutputsNotAccepted,
  kRunNotCancellable,
  // args: the expected call ids as one list "'call_a', 'call_b'", those that came.
  kOutputsMismatch,
  kEmptyThread,
  // param; args: what was expected ("a string"), what came ("a boolean").
  kWrongType,
  // param.
  kParameterMissing,
  kParameterUnknown,
  // param; args: the value, then each supported value (may be none).
  kInvalidValue,
  // param; args: "integer" | "decimal", the limit, the value.
  kNumberAboveMax,
  kNumberBelowMin,
  // param; args: the longest length, the length that came.
  kStringTooLong,
  kArrayTooLong,
  // param; args: the shortest length, the length that came.
  kArrayTooShort,
  kObjectTooLarge,
  // args: the value.
  kPurpose,
  // args: the model.
  kUnsupportedModel,
  // param; args: the extension, in lower case with its dot.
  kUnsupportedFile,
  // args: the store.
  kStoreExpired,
  // args: the purpose.
  kNotDownloadable,
  // args: the key, shortened.
  kKeyWrong,
  kKeyMissing,
  // args: method, path.
  kUrlUnknown,
  kMethodNotAllowed,
  // args: the reason, a sentence.
  kBodyNotJson,
  // args: the limit in bytes.
  kBodyTooLarge,
  // param or ""; args: the sentence that the client is shown. For cases that have no fixed words.
  kInvalidRequest,
  // args: the sentence. Busy; a retry helps.
  kOverloaded,
  // Our own fault, or a backend's; what exactly is for the log, not for the client.
  kServerError,
};

struct Error {
  ErrorKind kind = ErrorKind::kInvalidRequest;
  std::string param;
  std::vector<std::string> args;
  friend bool operator==(const Error&, const Error&) = default;
};

absl::Status ToStatus(const Error& error);
absl::Status MakeError(ErrorKind kind, std::string param, std::vector<std::string> args);
// The payload of a status that ToStatus made.
std::optional<Error> ErrorOf(const absl::Status& status);

// The sentence "no <noun> with this id", for every kind of object but files.
absl::Status MissingError(std::string noun, std::string id);

}  // namespace carrel::gateway
