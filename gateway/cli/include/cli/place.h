// Where things are: the data directory, the sockets in it, the programs beside ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/config.h"
#include "rpc/address.h"
#include "rpc/client.h"

namespace carrel::cli {

// What every command can be told.
struct CommonOptions {
  std::string data_dir;  // --data; "": $CARREL_DATA, else ~/.local/share/carrel, or as root /var/lib/carrel
  std::string config_file;
  std::vector<std::string> settings;  // --set section.key=value
  bool json = false;
};

struct Place {
  std::string data_dir;  // absolute
  config::Config config;
};

[[nodiscard]] absl::StatusOr<Place> FindPlace(const CommonOptions& options);

enum class Part : unsigned char { kInterpreter, kRetrieval };
[[nodiscard]] std::string_view NameOf(Part part);  // "interpreter", "retrieval"

// Where clients find a part: DATA/run/<part>.sock, or [<part>] listen.
[[nodiscard]] absl::StatusOr<rpc::Address> AddressOf(const Place& place, Part part);
// Where its server listens: DATA/run/<part>/grpc.sock, in a directory of the server's own (it may run as another uid,
// and must be able to make and remove its socket), to which DATA/run/<part>.sock is a link; or [<part>] listen.
[[nodiscard]] absl::StatusOr<rpc::Address> ListenAddressOf(const Place& place, Part part);
// The directory that holds the server's data: DATA/<part>.
[[nodiscard]] std::string DataDirOf(const Place& place, Part part);

// A connected channel. UNAVAILABLE with the sentence why not.
[[nodiscard]] absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const Place& place, Part part);

// The absolute path of a program that stands beside this one ("carrel-jailer"). NOT_FOUND.
[[nodiscard]] absl::StatusOr<std::string> ProgramBeside(std::string_view name);

}  // namespace carrel::cli
