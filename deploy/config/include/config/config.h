// The one configuration of all of Carrel's programs.
//
// Precedence: compiled-in defaults < TOML file < environment CARREL_SECTION_KEY < flags. deploy/config/carrel.toml is
// the commented default, is compiled in, and documents every key; a test holds it equal to the structs below.
// Unknown keys, wrong types and values out of range are INVALID_ARGUMENT with "file:line: …" and a did-you-mean.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace carrel::config {

struct LogConfig {
  std::string level = "info";
};

// Shared by all servers: how gRPC is served.
struct RpcConfig {
  std::vector<uint32_t> allowed_uids;
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_ca_file;
  std::string token_file;
  bool reflection = false;
  uint64_t message_bytes_max = 8 << 20;
  uint64_t threads_max = 512;
  uint64_t call_ms_max = 900'000;
  uint64_t drain_ms = 10'000;
};

struct JailConfig {
  std::string tier = "auto";
  bool allow_no_cgroup = false;
  std::string runtimes_dir;
  uint64_t zygote_forks_max = 10'000;
};

struct InterpreterConfig {
  std::string listen;
  std::string metrics_listen;
  uint64_t sessions_max = 64;
  uint64_t sessions_per_owner_max = 32;
  uint64_t calls_waiting_max = 16;
  uint64_t idle_timeout_ms = 1'200'000;
  uint64_t linger_ms = 60'000;
  uint64_t interrupt_grace_ms = 2'000;
  uint64_t memory_bytes_total_max = 0;
  uint64_t memory_overcommit_percent = 300;
  std::string default_runtime = "python";
  uint64_t lifetime_ms = 86'400'000;
  uint64_t admission_waiting_max = 64;
  uint64_t admission_wait_ms_max = 10'000;
  std::string workspace_directory;
  uint64_t pool_size = 4;
  uint64_t pool_memory_bytes_max = 256ull << 20;
  std::map<std::string, std::string> limits;
};

struct RetrievalConfig {
  std::string listen;
  std::string metrics_listen;
  std::string model = "bge-small-en-v1.5";
  std::string models_dir;
  uint64_t document_bytes_max = 512ull << 20;
  uint64_t ingest_workers = 2;
  uint64_t document_pages_max = 5'000;
  uint64_t extract_cpu_seconds_max = 300;
  uint64_t extract_memory_bytes_max = 1ull << 30;
  uint64_t extract_wall_ms_max = 600'000;
  std::string ocr = "off";
  std::string ocr_languages = "eng";
  uint64_t ocr_pages_max = 200;
  uint64_t queue_length_max = 10'000;
  uint64_t embed_threads = 0;
  uint64_t index_bytes_max = 4ull << 30;
  std::string remote_base_url;
  std::string remote_model;
  std::string remote_api_key;
  std::string remote_api_key_file;
  uint64_t remote_dimensions = 0;
  uint64_t remote_window_tokens = 512;
  std::string remote_query_prefix;
  std::string remote_passage_prefix;
  std::string remote_ca_file;
  std::string remote_proxy_url;
  uint64_t remote_call_ms_max = 60'000;
};

struct GatewayConfig {
  std::string listen = "127.0.0.1:8080";
  std::string grpc_listen;
  std::string interpreter;
  std::string retrieval;
  std::string metrics_listen;
  uint64_t runs_in_flight_max = 512;
  uint64_t connections_max = 4096;
};

struct ModelConfig {
  std::string base_url;
  std::string api_key;
  std::string api_key_file;
  std::map<std::string, std::string> aliases;  // names of clients to names of the upstream
  std::string ca_file;
  std::string proxy_url;
  uint64_t window_tokens = 128'000;
  uint64_t first_byte_ms_max = 300'000;
  uint64_t idle_ms_max = 120'000;
};

struct StorageConfig {
  std::string sync = "full";
};

struct ServeConfig {
  uint64_t start_ms_max = 120'000;
  uint64_t stop_ms_max = 15'000;
  uint64_t restart_ms_max = 10'000;
  uint64_t hung_ms_max = 30'000;
};

struct Config {
  LogConfig log;
  RpcConfig rpc;
  JailConfig jail;
  InterpreterConfig interpreter;
  RetrievalConfig retrieval;
  GatewayConfig gateway;
  ModelConfig model;
  StorageConfig storage;
  ServeConfig serve;
};

struct Setting {
  std::string key;    // "rpc.drain_ms"
  std::string value;  // as in the environment: a number, true or false, a text without quotes, a list
                      // with commas, a table as "a=b,c=d"
};

struct LoadOptions {
  std::string file;  // "": none
  // NAME=value of the process; only CARREL_<a section of ours>_… is looked at.
  std::vector<std::string> environment;
  std::vector<Setting> flags;
};

[[nodiscard]] absl::StatusOr<Config> Load(const LoadOptions& options);
// The process's own environment, for LoadOptions.
[[nodiscard]] std::vector<std::string> ProcessEnvironment();

// The settings in which `config` differs from the defaults, as flags: what a parent passes on to a server.
[[nodiscard]] std::vector<Setting> Changed(const Config& config);

// As TOML, every key, for --print-config; secrets are printed as "<redacted>".
[[nodiscard]] std::string Print(const Config& config);
// The text of carrel.toml as compiled in.
[[nodiscard]] std::string_view DefaultToml();

}  // namespace carrel::config
