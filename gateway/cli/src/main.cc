// carrel: the command line.
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>

#include "cli/bench.h"
#include "cli/commands.h"

namespace {

using namespace carrel::cli;  // NOLINT(google-build-using-namespace): this file only wires them

struct Options {
  CommonOptions common;
  RunOptions run;
  ServeOptions serve;
  StoreOptions store;
  SearchOptions search;
  BenchOptions bench;
};

void AddCommon(CLI::App& command, CommonOptions& common) {
  command.add_option("--data", common.data_dir,
                     "The data directory (default: $CARREL_DATA, else ~/.local/share/carrel, as root /var/lib/carrel)");
  command.add_option("--config", common.config_file,
                     "TOML configuration; `carrel serve --print-config` shows every key");
  command.add_option("--set", common.settings, "section.key=value of the configuration; may be repeated")
      ->allow_extra_args(false);
  command.add_flag("--json", common.json, "Results as JSON on stdout, one object a line");
  command.footer(kExitCodeHelp);
}

CLI::App* AddServe(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("serve", "Start the servers, keep them running, stop them in order");
  AddCommon(*command, options.common);
  command->add_flag("--allow-no-cgroup", options.serve.allow_no_cgroup,
                    "Run where no memory cgroup can be made (a watchdog takes its place)");
  command->add_flag("--check-config", options.serve.check_config, "Check the configuration and exit");
  command->add_flag("--print-config", options.serve.print_config, "Print the configuration in force and exit");
  return command;
}

CLI::App* AddRun(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("run", "Run code in the jail; show what it prints, save what it writes");
  AddCommon(*command, options.common);
  auto* code = command->add_option("-c", options.run.code, "The code");
  command->add_option("source", options.run.source, "A file with the code, or - for stdin")->excludes(code);
  command->add_option("--file", options.run.files, "A file to put into /mnt/data first; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--session", options.run.session,
                      "A session that keeps its variables and files; made when it is not there");
  command->add_option("--out", options.run.out_dir,
                      "Save figures and the files that the code wrote into this directory");
  command->add_option("--runtime", options.run.runtime, "Which runtime (default: python)");
  command->add_option("--limit", options.run.limits, "NAME=NUMBER, such as wall_ms=5000; may be repeated")
      ->allow_extra_args(false);
  return command;
}

struct StoreCommands {
  CLI::App* store;
  CLI::App* create;
  CLI::App* list;
  CLI::App* show;
  CLI::App* add;
  CLI::App* rm;
  CLI::App* remove;
};

StoreCommands AddStore(CLI::App& app, Options& options) {
  StoreCommands commands{};
  commands.store = app.add_subcommand("store", "Stores of documents");
  commands.store->require_subcommand(1);
  const auto add = [&](const char* name, const char* description, bool named) {
    auto* command = commands.store->add_subcommand(name, description);
    AddCommon(*command, options.common);
    if (named) command->add_option("store", options.store.store, "The store's name or id")->required();
    return command;
  };
  commands.create = add("create", "Make a store; prints its id", true);
  commands.list = add("list", "All stores", false);
  commands.show = add("show", "A store and its documents", true);
  commands.add = add("add", "Add documents (pdf, txt, md); the store is made when it is not there", true);
  commands.add->add_option("paths", options.store.paths, "Files")->required();
  commands.add->add_flag("--no-wait", options.store.no_wait, "Do not wait until they can be searched");
  commands.rm = add("rm", "Remove documents", true);
  commands.rm->add_option("documents", options.store.documents, "Their ids or file names")->required();
  commands.remove = add("delete", "Delete a store and all that is in it", true);
  return commands;
}

CLI::App* AddSearch(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("search", "Find the passages that answer a question");
  AddCommon(*command, options.common);
  command->add_option("store", options.search.store, "The store's name or id")->required();
  command->add_option("question", options.search.question, "The question")->required();
  command->add_option("--max", options.search.results_max, "Hits at most (1 to 50)")->check(CLI::Range(1, 50));
  return command;
}

CLI::App* AddBench(CLI::App& app, Options& options) {
  auto* bench = app.add_subcommand("bench", "Measure");
  bench->require_subcommand(1);
  auto* command = bench->add_subcommand(
      "sandbox", "What sessions and calls cost, beside a bare fork, bubblewrap and a Jupyter kernel in the same run");
  AddCommon(*command, options.common);
  command->add_option("--server", options.bench.server,
                      "unix:PATH or HOST:PORT of an interpreter (default: one of its own, for the time of the run)");
  command->add_option("--rounds", options.bench.rounds, "Single sessions, each beside a bare fork")
      ->check(CLI::Range(1, 100'000));
  command->add_option("--concurrency", options.bench.concurrency, "Throw-away executions at once, such as 1,2,4,8")
      ->delimiter(',')
      ->check(CLI::Range(1, 256));
  command->add_option("--seconds", options.bench.seconds, "For each of these")->check(CLI::Range(1, 3600));
  command->add_option("--sessions", options.bench.sessions, "Sessions at once, for the memory of one; 0: none")
      ->check(CLI::Range(0, 10'000));
  command->add_option("--jupyter", options.bench.jupyter, "Directory of jupyter_client and ipykernel to compare with");
  command->add_flag("!--no-baselines", options.bench.baselines, "Compare with nothing");
  command->add_option("--soak", options.bench.soak, "Instead: executions after which nothing may be left behind")
      ->check(CLI::Range(0, 10'000'000));
  command->add_option("--kills", options.bench.kills, "With --soak: kills among them")->check(CLI::Range(0, 1'000'000));
  return command;
}

int Complain(const std::string& sentence) {
  std::cerr << "carrel: " << sentence << "\n";
  return ToInt(ExitCode::kUsage);
}

// The commands that do something of their own on Ctrl-C; the others simply end.
int DispatchWithSignals(CLI::App& app, Options& options, Console& console) {
  auto signals = carrel::rpc::ShutdownSignals::Block();
  if (!signals.ok()) {
    console.Fail(signals.status());
    return ToInt(ExitCode::kInternal);
  }
  if (app.got_subcommand("serve")) return ToInt(Serve(options.common, options.serve, *signals, console));
  options.run.has_code = app.get_subcommand("run")->count("-c") > 0;
  if (!options.run.has_code && options.run.source.empty()) return Complain("run wants -c CODE, a FILE or -");
  return ToInt(Run(options.common, options.run, *signals, console));
}

int Dispatch(CLI::App& app, const StoreCommands& store, Options& options) {
  Console console(options.common.json);
  const auto chosen = [&](const char* name) { return app.got_subcommand(name); };
  if (chosen("serve") || chosen("run")) return DispatchWithSignals(app, options, console);
  if (chosen("bench")) return ToInt(BenchSandbox(options.common, options.bench, console));
  if (chosen("search")) return ToInt(Search(options.common, options.search, console));
  if (chosen("doctor")) return ToInt(Doctor(options.common, console));
  if (chosen("version")) return ToInt(Version(options.common, console));
  if (store.create->parsed()) return ToInt(StoreCreate(options.common, options.store, console));
  if (store.list->parsed()) return ToInt(StoreList(options.common, console));
  if (store.show->parsed()) return ToInt(StoreShow(options.common, options.store, console));
  if (store.add->parsed()) return ToInt(StoreAdd(options.common, options.store, console));
  if (store.rm->parsed()) return ToInt(StoreRemove(options.common, options.store, console));
  return ToInt(StoreDelete(options.common, options.store, console));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Carrel: runs code in a jail, and finds the passages of documents that answer a question.", "carrel");
  app.require_subcommand(1);
  app.footer(kExitCodeHelp);
  Options options;
  AddServe(app, options);
  AddRun(app, options);
  const StoreCommands store = AddStore(app, options);
  AddSearch(app, options);
  AddBench(app, options);
  AddCommon(*app.add_subcommand("doctor", "What the jail has on this machine, and what mends it"), options.common);
  AddCommon(*app.add_subcommand("version", "The version"), options.common);
  app.set_version_flag("--version", "carrel " CARREL_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has exit codes of its own; ours are documented: help is fine, everything else is usage.
    return app.exit(error) == 0 ? ToInt(ExitCode::kOk) : ToInt(ExitCode::kUsage);
  }
  return Dispatch(app, store, options);
}
