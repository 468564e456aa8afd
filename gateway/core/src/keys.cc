#include "gateway/core/keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gateway/core/system.h"
#include "gateway/types/error.h"
#include "gateway/types/status_macros.h"

namespace carrel::gateway {
namespace {

constexpr char kPrefix[] = "sk-carrel-";
constexpr size_t kSecretLength = 43;
constexpr size_t kHintLength = 4;

std::string Sha256Of(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// Enough to know one's own key by, too little to use it.
std::string Shortened(std::string_view secret) {
  if (secret.size() <= 2 * kHintLength) return std::string(secret.size(), '*');
  return absl::StrCat(std::string(secret.substr(0, kHintLength)), "****",
                      std::string(secret.substr(secret.size() - kHintLength)));
}

}  // namespace

absl::StatusOr<ApiKey> Keys::Keep(const std::string& name, ProjectId project, std::string_view secret) {
  if (project.empty()) project = ProjectId(kDefaultProject);
  ApiKey key{.id = backing_.ids.NewKey(),
             .project = std::move(project),
             .name = name,
             .sha256 = Sha256Of(secret),
             .hint = secret.size() > 2 * kHintLength ? std::string(secret.substr(secret.size() - kHintLength)) : "",
             .created_at = backing_.clock.Now()};
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Write([&](Transaction& t) { return t.PutKey(key); }));
  return key;
}

std::string Keys::NewSecret() { return kPrefix + RandomText(kSecretLength); }

absl::StatusOr<IssuedKey> Keys::Create(const std::string& name, ProjectId project) {
  std::string secret = NewSecret();
  GATEWAY_ASSIGN_OR_RETURN(ApiKey key, Keep(name, std::move(project), secret));
  return IssuedKey{.key = std::move(key), .secret = std::move(secret)};
}

absl::StatusOr<std::vector<ApiKey>> Keys::List() {
  std::vector<ApiKey> keys;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(keys, s.AllKeys());
    return absl::OkStatus();
  }));
  return keys;
}

absl::Status Keys::Revoke(const KeyId& id) {
  return backing_.repository.Write([&](Transaction& t) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(std::vector<ApiKey> keys, t.AllKeys());
    for (ApiKey& key : keys) {
      if (key.id != id) continue;
      if (!key.revoked_at.has_value()) key.revoked_at = backing_.clock.Now();
      return t.PutKey(key);
    }
    return MissingError("key", id.value);
  });
}

absl::StatusOr<ProjectId> Keys::Check(std::string_view secret) {
  if (secret.empty()) return MakeError(ErrorKind::kKeyMissing, "", {});
  std::string sha256 = Sha256Of(secret);
  std::optional<ApiKey> key;
  GATEWAY_RETURN_IF_ERROR(backing_.repository.Read([&](const Snapshot& s) -> absl::Status {
    GATEWAY_ASSIGN_OR_RETURN(key, s.FindKey(sha256));
    return absl::OkStatus();
  }));
  // The look-up by hash tells nothing that a clock could measure about the key itself; the comparison is constant-time
  // all the same, so that this stays true whatever the storage does.
  bool known = key.has_value() && key->sha256.size() == sha256.size() &&
               CRYPTO_memcmp(key->sha256.data(), sha256.data(), sha256.size()) == 0;
  if (!known || key->revoked_at.has_value()) return MakeError(ErrorKind::kKeyWrong, "", {Shortened(secret)});
  return key->project;
}

absl::StatusOr<std::string> Keys::Bootstrap(const std::string& secret) {
  absl::StatusOr<ProjectId> known = Check(secret);
  if (known.ok()) return secret;
  if (ErrorOf(known.status()) == std::nullopt) return known.status();
  GATEWAY_RETURN_IF_ERROR(Keep("bootstrap", ProjectId(kDefaultProject), secret).status());
  return secret;
}

}  // namespace carrel::gateway
