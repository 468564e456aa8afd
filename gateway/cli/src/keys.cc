// carrel keys: keys and the projects they open, over the admin socket of this machine's gateway.
#include "absl/time/clock.h"
#include "api_client.h"
#include "cli/commands.h"
#include "strings.h"

namespace carrel::cli {
namespace {

absl::StatusOr<ExitCode> WithAdmin(const CommonOptions& common,
                                   absl::FunctionRef<absl::StatusOr<ExitCode>(ApiClient&)> action) {
  const auto place = FindPlace(common);
  if (!place.ok()) return place.status();
  ApiClient admin({.url = "http://localhost", .unix_socket = StrCat(place->data_dir, "/admin.sock")});
  return action(admin);
}

ExitCode Told(const absl::StatusOr<ExitCode>& result, Console& console) {
  if (result.ok()) return *result;
  console.Fail(result.status());
  return ExitCodeOf(result.status());
}

std::string Date(uint64_t seconds) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(static_cast<int64_t>(seconds)),
                          absl::LocalTimeZone());
}

std::string KeyLine(const Json& key) {
  const std::string name = Text(key, "name");
  std::string line = StrCat(Text(key, "id"), "  project ", SafeText(Text(key, "project"), false),
                            name.empty() ? "" : StrCat("  ", SafeText(name, false)), "  …", Text(key, "hint"),
                            "  made ", Date(Count(key, "created_at")));
  if (Below(key, "revoked_at").is_number()) StrAppend(&line, "  revoked ", Date(Count(key, "revoked_at")));
  return line;
}

}  // namespace

ExitCode KeysCreate(const CommonOptions& common, const KeyOptions& options, Console& console) {
  return Told(WithAdmin(common,
                        [&](ApiClient& admin) -> absl::StatusOr<ExitCode> {
                          const auto key = admin.Post(StrCat("/carrel/keys?name=", EncodeUrl(options.name),
                                                             "&project=", EncodeUrl(options.project)),
                                                      nullptr);
                          if (!key.ok()) return key.status();
                          console.PrintJsonText(Dump(*key));
                          console.Print(Text(*key, "secret"));
                          console.Say(StrCat("made ", Text(*key, "id"), " of the project ", Text(*key, "project"),
                                             "; the key is shown this once"));
                          return ExitCode::kOk;
                        }),
              console);
}

ExitCode KeysList(const CommonOptions& common, Console& console) {
  return Told(WithAdmin(common,
                        [&](ApiClient& admin) -> absl::StatusOr<ExitCode> {
                          const auto keys = admin.Get("/carrel/keys");
                          if (!keys.ok()) return keys.status();
                          for (const Json& key : Below(*keys, "data")) {
                            console.PrintJsonText(Dump(key));
                            console.Print(KeyLine(key));
                          }
                          return ExitCode::kOk;
                        }),
              console);
}

ExitCode KeysRevoke(const CommonOptions& common, const KeyOptions& options, Console& console) {
  return Told(WithAdmin(common,
                        [&](ApiClient& admin) -> absl::StatusOr<ExitCode> {
                          const auto revoked = admin.Delete(StrCat("/carrel/keys/", EncodeUrl(options.id)));
                          if (!revoked.ok()) return revoked.status();
                          console.PrintJsonText(Dump(*revoked));
                          console.Print(StrCat("revoked ", options.id));
                          return ExitCode::kOk;
                        }),
              console);
}

}  // namespace carrel::cli
