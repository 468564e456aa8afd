// The commands. Each prints its result and gives the exit code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/place.h"
#include "rpc/signals.h"

namespace carrel::cli {

struct RunOptions {
  std::string code;                 // -c
  bool has_code = false;            // -c was given, maybe empty
  std::string source;               // a file, or "-" for stdin
  std::vector<std::string> files;   // --file, uploaded first, under their last name
  std::string session;              // --session, made when it is not there; "": throw-away
  std::string out_dir;              // --out; "": artifacts are only named
  std::string runtime;              // --runtime; "": the server's default
  std::vector<std::string> limits;  // --limit name=value
  std::string import_file;          // --import: a tar archive that becomes /mnt/data, before --file
  std::string export_file;          // --export: /mnt/data as a tar archive, when the code has run
};
[[nodiscard]] ExitCode Run(const CommonOptions& common, const RunOptions& options, rpc::ShutdownSignals& signals,
                           Console& console);

struct ServeOptions {
  std::string http;  // --http HOST:PORT; "": [gateway] listen
  std::string grpc;  // --grpc HOST:PORT or unix:PATH; "": [gateway] grpc_listen, else 127.0.0.1:8081
  bool allow_no_cgroup = false;
  bool check_config = false;
  bool print_config = false;
};
[[nodiscard]] ExitCode Serve(const CommonOptions& common, const ServeOptions& options, rpc::ShutdownSignals& signals,
                             Console& console);

struct StoreOptions {
  std::string store;                   // a name or an id
  std::vector<std::string> paths;      // add: files, and directories of them
  std::vector<std::string> documents;  // remove: ids, file names or paths
  bool no_wait = false;                // add, reembed: do not wait until it is done
  std::string model;                   // reembed: an embedding model of the server, by name or alias
};
[[nodiscard]] ExitCode StoreCreate(const CommonOptions& common, const StoreOptions& options, Console& console);
[[nodiscard]] ExitCode StoreList(const CommonOptions& common, Console& console);
[[nodiscard]] ExitCode StoreShow(const CommonOptions& common, const StoreOptions& options, Console& console);
[[nodiscard]] ExitCode StoreAdd(const CommonOptions& common, const StoreOptions& options, Console& console);
[[nodiscard]] ExitCode StoreRemove(const CommonOptions& common, const StoreOptions& options, Console& console);
// Embeds a store anew with another model, which it has until all is done.
[[nodiscard]] ExitCode StoreReembed(const CommonOptions& common, const StoreOptions& options, Console& console);
[[nodiscard]] ExitCode StoreDelete(const CommonOptions& common, const StoreOptions& options, Console& console);

struct SearchOptions {
  std::string store;
  std::string question;
  uint32_t results_max = 10;
};
[[nodiscard]] ExitCode Search(const CommonOptions& common, const SearchOptions& options, Console& console);

struct CiteOptions {
  std::string store;
  std::string what;   // a document's name or id when there is a span, else a question
  std::string span;   // --span BEGIN:END
  uint32_t rank = 1;  // --rank: which hit of the question
  std::string png;    // --png FILE; "": no picture
  uint32_t dpi = 0;   // --dpi; 0: the server's choice
};
[[nodiscard]] ExitCode Cite(const CommonOptions& common, const CiteOptions& options, Console& console);

struct KeyOptions {
  std::string project;  // create; "": the default one
  std::string name;     // create
  std::string id;       // revoke
};
[[nodiscard]] ExitCode KeysCreate(const CommonOptions& common, const KeyOptions& options, Console& console);
[[nodiscard]] ExitCode KeysList(const CommonOptions& common, Console& console);
[[nodiscard]] ExitCode KeysRevoke(const CommonOptions& common, const KeyOptions& options, Console& console);

struct AssistantOptions {
  std::string assistant;  // show, delete, chat: a name or an id
  std::string name;       // create
  std::string model;      // create, and chat without an assistant
  std::string instructions;
  std::vector<std::string> tools;   // code_interpreter, file_search
  std::vector<std::string> stores;  // names or ids
  // chat
  std::vector<std::string> files;  // uploaded, and attached to the first message
  std::string thread;              // goes on with this one; "": a new one
  std::string out_dir;             // files that the assistant made; "": they are only named
  std::string message;             // "": asked for on a terminal, else stdin
};
[[nodiscard]] ExitCode AssistantsCreate(const CommonOptions& common, const AssistantOptions& options, Console& console);
[[nodiscard]] ExitCode AssistantsList(const CommonOptions& common, Console& console);
[[nodiscard]] ExitCode AssistantsShow(const CommonOptions& common, const AssistantOptions& options, Console& console);
[[nodiscard]] ExitCode AssistantsDelete(const CommonOptions& common, const AssistantOptions& options, Console& console);
[[nodiscard]] ExitCode AssistantsChat(const CommonOptions& common, const AssistantOptions& options,
                                      rpc::ShutdownSignals& signals, Console& console);

// Becomes carrel-jailer --doctor; returns only when that cannot be executed.
[[nodiscard]] ExitCode Doctor(const CommonOptions& common, Console& console);
[[nodiscard]] ExitCode Version(const CommonOptions& common, Console& console);

}  // namespace carrel::cli
