#include "schema.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace carrel::config {
namespace {

// A reference to `member` of `section`, as a plain function, so that the table below is data.
#define AT(section, member) ([](Config & config) -> auto& { return config.section.member; })

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kGiB = 1024 * 1024 * kKiB;
constexpr uint64_t kDayMs = 86'400'000;
constexpr uint64_t kAny = std::numeric_limits<int64_t>::max();  // TOML's integers are signed

const std::vector<Key>& Table() {
  static const auto* const table = new std::vector<Key>{
      {"log", "level", TextKey{AT(log, level), {"debug", "info", "warning", "error", "off"}}},

      {"rpc", "allowed_uids", UidListKey{AT(rpc, allowed_uids)}},
      {"rpc", "tls_cert_file", TextKey{AT(rpc, tls_cert_file), {}}},
      {"rpc", "tls_key_file", TextKey{AT(rpc, tls_key_file), {}}},
      {"rpc", "tls_ca_file", TextKey{AT(rpc, tls_ca_file), {}}},
      {"rpc", "token_file", TextKey{AT(rpc, token_file), {}}},
      {"rpc", "reflection", FlagKey{AT(rpc, reflection)}},
      {"rpc", "message_bytes_max", NumberKey{AT(rpc, message_bytes_max), 64 * kKiB, kGiB}},
      {"rpc", "threads_max", NumberKey{AT(rpc, threads_max), 4, 65536}},
      {"rpc", "call_ms_max", NumberKey{AT(rpc, call_ms_max), 1000, kDayMs}},
      {"rpc", "drain_ms", NumberKey{AT(rpc, drain_ms), 0, 600'000}},

      {"jail", "tier", TextKey{AT(jail, tier), {"auto", "full", "userns", "confined"}}},
      {"jail", "allow_no_cgroup", FlagKey{AT(jail, allow_no_cgroup)}},
      {"jail", "runtimes_dir", TextKey{AT(jail, runtimes_dir), {}}},
      {"jail", "zygote_forks_max", NumberKey{AT(jail, zygote_forks_max), 0, 1'000'000'000}},

      {"interpreter", "listen", TextKey{AT(interpreter, listen), {}}},
      {"interpreter", "metrics_listen", TextKey{AT(interpreter, metrics_listen), {}}},
      {"interpreter", "sessions_max", NumberKey{AT(interpreter, sessions_max), 1, 10'000}},
      {"interpreter", "sessions_per_owner_max", NumberKey{AT(interpreter, sessions_per_owner_max), 1, 10'000}},
      {"interpreter", "calls_waiting_max", NumberKey{AT(interpreter, calls_waiting_max), 0, 1000}},
      {"interpreter", "idle_timeout_ms", NumberKey{AT(interpreter, idle_timeout_ms), 1000, kDayMs}},
      {"interpreter", "linger_ms", NumberKey{AT(interpreter, linger_ms), 0, 3'600'000}},
      {"interpreter", "interrupt_grace_ms", NumberKey{AT(interpreter, interrupt_grace_ms), 10, 60'000}},
      {"interpreter", "memory_bytes_total_max", NumberKey{AT(interpreter, memory_bytes_total_max), 0, kAny}},
      {"interpreter", "memory_overcommit_percent", NumberKey{AT(interpreter, memory_overcommit_percent), 100, 10'000}},
      {"interpreter", "default_runtime", TextKey{AT(interpreter, default_runtime), {}}},
      {"interpreter", "lifetime_ms", NumberKey{AT(interpreter, lifetime_ms), 1000, 30 * kDayMs}},
      {"interpreter", "admission_waiting_max", NumberKey{AT(interpreter, admission_waiting_max), 0, 10'000}},
      {"interpreter", "admission_wait_ms_max", NumberKey{AT(interpreter, admission_wait_ms_max), 0, 600'000}},
      {"interpreter", "limits", MapKey{AT(interpreter, limits)}},
      {"interpreter", "workspace_directory", TextKey{AT(interpreter, workspace_directory), {}, true}},
      {"interpreter", "pool_size", NumberKey{AT(interpreter, pool_size), 0, 1000}},
      {"interpreter", "pool_memory_bytes_max", NumberKey{AT(interpreter, pool_memory_bytes_max), 0, kAny}},

      {"retrieval", "listen", TextKey{AT(retrieval, listen), {}}},
      {"retrieval", "metrics_listen", TextKey{AT(retrieval, metrics_listen), {}}},
      {"retrieval", "model", TextKey{AT(retrieval, model), {}}},
      {"retrieval", "models_dir", TextKey{AT(retrieval, models_dir), {}}},
      {"retrieval", "document_bytes_max", NumberKey{AT(retrieval, document_bytes_max), kKiB, 16 * kGiB}},
      {"retrieval", "ingest_workers", NumberKey{AT(retrieval, ingest_workers), 1, 256}},
      {"retrieval", "document_pages_max", NumberKey{AT(retrieval, document_pages_max), 1, 1'000'000}},
      // No more than the jail gives: the caps in sandbox/policies/extract/manifest.
      {"retrieval", "extract_cpu_seconds_max", NumberKey{AT(retrieval, extract_cpu_seconds_max), 1, 3'600}},
      {"retrieval", "extract_memory_bytes_max",
       NumberKey{AT(retrieval, extract_memory_bytes_max), 64 * kKiB * kKiB, 4 * kGiB}},
      {"retrieval", "extract_wall_ms_max", NumberKey{AT(retrieval, extract_wall_ms_max), 1'000, kDayMs}},
      {"retrieval", "ocr", TextKey{AT(retrieval, ocr), {"off", "auto"}}},
      {"retrieval", "ocr_languages", TextKey{AT(retrieval, ocr_languages), {}}},
      {"retrieval", "ocr_pages_max", NumberKey{AT(retrieval, ocr_pages_max), 1, 100'000}},
      {"retrieval", "queue_length_max", NumberKey{AT(retrieval, queue_length_max), 1, 1'000'000}},
      {"retrieval", "embed_threads", NumberKey{AT(retrieval, embed_threads), 0, 1024}},
      {"retrieval", "index_bytes_max", NumberKey{AT(retrieval, index_bytes_max), 0, kAny}},
      {"retrieval", "remote_base_url", TextKey{AT(retrieval, remote_base_url), {}}},
      {"retrieval", "remote_model", TextKey{AT(retrieval, remote_model), {}}},
      {"retrieval", "remote_api_key", TextKey{AT(retrieval, remote_api_key), {}}, true},
      {"retrieval", "remote_api_key_file", TextKey{AT(retrieval, remote_api_key_file), {}}},
      {"retrieval", "remote_dimensions", NumberKey{AT(retrieval, remote_dimensions), 0, 4096}},
      {"retrieval", "remote_window_tokens", NumberKey{AT(retrieval, remote_window_tokens), 64, 32'768}},
      {"retrieval", "remote_query_prefix", TextKey{AT(retrieval, remote_query_prefix), {}}},
      {"retrieval", "remote_passage_prefix", TextKey{AT(retrieval, remote_passage_prefix), {}}},
      {"retrieval", "remote_ca_file", TextKey{AT(retrieval, remote_ca_file), {}}},
      {"retrieval", "remote_proxy_url", TextKey{AT(retrieval, remote_proxy_url), {}}},
      {"retrieval", "remote_call_ms_max", NumberKey{AT(retrieval, remote_call_ms_max), 100, kDayMs}},

      {"gateway", "listen", TextKey{AT(gateway, listen), {}}},
      {"gateway", "grpc_listen", TextKey{AT(gateway, grpc_listen), {}}},
      {"gateway", "interpreter", TextKey{AT(gateway, interpreter), {}}},
      {"gateway", "retrieval", TextKey{AT(gateway, retrieval), {}}},
      {"gateway", "metrics_listen", TextKey{AT(gateway, metrics_listen), {}}},
      {"gateway", "runs_in_flight_max", NumberKey{AT(gateway, runs_in_flight_max), 1, 100'000}},
      {"gateway", "connections_max", NumberKey{AT(gateway, connections_max), 1, 1'000'000}},

      {"model", "base_url", TextKey{AT(model, base_url), {}}},
      {"model", "api_key", TextKey{AT(model, api_key), {}}, true},
      {"model", "api_key_file", TextKey{AT(model, api_key_file), {}}},
      {"model", "aliases", MapKey{AT(model, aliases)}},
      {"model", "ca_file", TextKey{AT(model, ca_file), {}}},
      {"model", "proxy_url", TextKey{AT(model, proxy_url), {}}, true},  // may hold a password
      {"model", "window_tokens", NumberKey{AT(model, window_tokens), 1024, 100'000'000}},
      {"model", "first_byte_ms_max", NumberKey{AT(model, first_byte_ms_max), 100, kDayMs}},
      {"model", "idle_ms_max", NumberKey{AT(model, idle_ms_max), 100, kDayMs}},

      {"storage", "sync", TextKey{AT(storage, sync), {"full", "normal"}}},

      {"serve", "start_ms_max", NumberKey{AT(serve, start_ms_max), 1000, 3'600'000}},
      {"serve", "stop_ms_max", NumberKey{AT(serve, stop_ms_max), 100, 600'000}},
      {"serve", "restart_ms_max", NumberKey{AT(serve, restart_ms_max), 100, 600'000}},
      {"serve", "hung_ms_max", NumberKey{AT(serve, hung_ms_max), 1000, 3'600'000}},
  };
  return *table;
}

#undef AT

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::span<const Key> Keys() { return Table(); }

const Key* FindKey(std::string_view section, std::string_view name) {
  const auto found = std::find_if(Table().begin(), Table().end(),
                                  [&](const Key& key) { return key.section == section && key.name == name; });
  return found == Table().end() ? nullptr : &*found;
}

bool IsSection(std::string_view section) {
  return std::any_of(Table().begin(), Table().end(), [&](const Key& key) { return key.section == section; });
}

std::string_view Nearest(std::string_view word, std::span<const std::string_view> known) {
  // Further away than a third of its letters is another word.
  size_t best = std::max<size_t>(2, word.size() / 3) + 1;
  std::string_view nearest;
  for (const std::string_view candidate : known) {
    const size_t distance = EditDistance(word.substr(0, 64), candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace carrel::config
