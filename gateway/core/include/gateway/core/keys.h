// API keys: who may come in, and as which project. Thread-safe.
//
// A key is "sk-carrel-" and 43 characters of base 62 (256 bits), shown once; what is kept is its SHA-256.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/core/backing.h"
#include "gateway/types/file.h"

namespace carrel::gateway {

struct IssuedKey {
  ApiKey key;
  std::string secret;
};

class Keys {
 public:
  explicit Keys(Backing backing) : backing_(backing) {}

  // A key that nobody has yet.
  static std::string NewSecret();
  // `project` empty: the default project.
  absl::StatusOr<IssuedKey> Create(const std::string& name, ProjectId project);
  absl::StatusOr<std::vector<ApiKey>> List();
  // NotFound for an id that no key has; revoking twice is fine.
  absl::Status Revoke(const KeyId& id);
  // kKeyMissing, kKeyWrong (also for a revoked one), or the project.
  absl::StatusOr<ProjectId> Check(std::string_view secret);
  // For the first start: keeps `secret` as the key of the default project. Does nothing when there is a key with this
  // secret already.
  absl::StatusOr<std::string> Bootstrap(const std::string& secret);

 private:
  absl::StatusOr<ApiKey> Keep(const std::string& name, ProjectId project, std::string_view secret);

  Backing backing_;
};

inline constexpr char kDefaultProject[] = "default";

}  // namespace carrel::gateway
