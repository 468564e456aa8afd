// carrel: the command line.
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>

#include "cli/bench.h"
#include "cli/bench_search.h"
#include "cli/commands.h"

namespace {

using namespace carrel::cli;  // NOLINT(google-build-using-namespace): this file only wires them

struct Options {
  CommonOptions common;
  RunOptions run;
  ServeOptions serve;
  StoreOptions store;
  SearchOptions search;
  CiteOptions cite;
  KeyOptions keys;
  AssistantOptions assistants;
  BenchOptions bench;
  BenchSearchOptions bench_search;
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
  command->add_option("--http", options.serve.http,
                      "HOST:PORT of the OpenAI API (default 127.0.0.1:8080); port 0: one that is free");
  command->add_option(
      "--grpc", options.serve.grpc,
      "HOST:PORT or unix:PATH of the tools over gRPC (default 127.0.0.1:8081); port 0: one that is free");
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
  command->add_option("--import", options.run.import_file,
                      "A tar archive to unpack into /mnt/data first; files that are there are replaced");
  command->add_option("--export", options.run.export_file,
                      "Save all of /mnt/data into this tar archive when the code has run");
  command->add_option("--session", options.run.session,
                      "A session that keeps its variables and files; made when it is not there");
  command->add_option("--out", options.run.out_dir,
                      "Save figures and the files that the code wrote into this directory");
  command->add_option("--runtime", options.run.runtime,
                      "Which runtime (default: the server's, python unless it is configured)");
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
  CLI::App* reembed;
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
  commands.add = add("add",
                     "Add documents (pdf, docx, pptx, xlsx, html, md, csv, json, source code, ...); the store is made "
                     "when it is not there",
                     true);
  commands.add->add_option("paths", options.store.paths, "Files, and directories of them")->required();
  commands.add->add_flag("--no-wait", options.store.no_wait, "Do not wait until they can be searched");
  commands.rm = add("remove", "Remove documents", true);
  commands.rm->alias("rm");
  commands.rm->add_option("documents", options.store.documents, "Their ids or file names")->required();
  commands.reembed = add("reembed",
                         "Embed a store anew with another model, from its stored text; it answers with the one it has "
                         "until all is done. May be repeated; the model that it has calls it off",
                         true);
  commands.reembed
      ->add_option("--model", options.store.model, "An embedding model of the server, by name or alias, such as fast")
      ->required();
  commands.reembed->add_flag("--no-wait", options.store.no_wait, "Do not wait until it is done");
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

void AddCite(CLI::App& app, Options& options) {
  auto* command = app.add_subcommand("cite", "Say where a quote stands, and draw its pages with the quote highlighted");
  AddCommon(*command, options.common);
  command->add_option("store", options.cite.store, "The store's name or id")->required();
  command->add_option("what", options.cite.what, "A question; with --span a document's name or id")->required();
  auto* span = command->add_option("--span", options.cite.span,
                                   "BEGIN:END, the quote in characters of the document's text (as search --json says)");
  command->add_option("--rank", options.cite.rank, "The best quote of this hit of the question (1 to 50)")
      ->check(CLI::Range(1, 50))
      ->excludes(span);
  auto* png = command->add_option("--png", options.cite.png,
                                  "Draw the page into this file; a quote's further pages get FILE-page-N.png");
  command->add_option("--dpi", options.cite.dpi, "Dots per inch, 18 to 600 (default: 144, less for very large pages)")
      ->check(CLI::Range(18, 600))
      ->needs(png);
}

struct KeysCommands {
  CLI::App* create;
  CLI::App* list;
  CLI::App* revoke;
};

KeysCommands AddKeys(CLI::App& app, Options& options) {
  auto* keys = app.add_subcommand("keys", "API keys, on the machine of `carrel serve`");
  keys->require_subcommand(1);
  KeysCommands commands{};
  commands.create = keys->add_subcommand("create", "Make a key; it is shown once");
  commands.create->add_option("--project", options.keys.project,
                              "Whose objects it opens; those of other projects it does not (default: default)");
  commands.create->add_option("--name", options.keys.name, "What it is for");
  commands.list = keys->add_subcommand("list", "All keys, also revoked ones; never the keys themselves");
  commands.revoke = keys->add_subcommand("revoke", "From now on it opens nothing");
  commands.revoke->add_option("id", options.keys.id, "Its id, as `carrel keys list` shows it")->required();
  for (auto* command : {commands.create, commands.list, commands.revoke}) AddCommon(*command, options.common);
  return commands;
}

struct AssistantsCommands {
  CLI::App* create;
  CLI::App* list;
  CLI::App* show;
  CLI::App* remove;
  CLI::App* chat;
};

void AddAssistantOptions(CLI::App& command, AssistantOptions& options) {
  command.add_option("--model", options.model, "The chat model, by its name at the configured endpoint");
  command.add_option("--instructions", options.instructions, "What the assistant is told of its task");
  command.add_option("--tool", options.tools, "code_interpreter or file_search; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--store", options.stores, "A store of documents to search, by name or id; may be repeated")
      ->allow_extra_args(false);
}

AssistantsCommands AddAssistants(CLI::App& app, Options& options) {
  auto* assistants = app.add_subcommand("assistants", "Assistants, and conversations with them");
  assistants->require_subcommand(1);
  AssistantsCommands commands{};
  commands.create = assistants->add_subcommand("create", "Make an assistant; prints its id");
  commands.create->add_option("--name", options.assistants.name, "Its name");
  AddAssistantOptions(*commands.create, options.assistants);
  commands.list = assistants->add_subcommand("list", "All assistants");
  commands.show = assistants->add_subcommand("show", "An assistant and its instructions");
  commands.remove = assistants->add_subcommand("delete", "Delete an assistant");
  for (auto* command : {commands.show, commands.remove}) {
    command->add_option("assistant", options.assistants.assistant, "Its name or id")->required();
  }
  commands.chat =
      assistants->add_subcommand("chat", "Talk to an assistant: its answer on stdout, its code and searches on stderr");
  commands.chat->add_option("--assistant", options.assistants.assistant,
                            "Its name or id; without it one is made of --model and the rest, for this chat");
  AddAssistantOptions(*commands.chat, options.assistants);
  commands.chat->add_option("--file", options.assistants.files, "A file for the tools; may be repeated")
      ->allow_extra_args(false);
  commands.chat->add_option("--thread", options.assistants.thread, "Go on with this conversation");
  commands.chat->add_option("--out", options.assistants.out_dir,
                            "Save pictures and the files that its code wrote into this directory");
  commands.chat->add_option("message", options.assistants.message,
                            "What to say; without it: line by line on a terminal, else all of stdin");
  for (auto* command : {commands.create, commands.list, commands.show, commands.remove, commands.chat}) {
    AddCommon(*command, options.common);
  }
  return commands;
}

struct Commands {
  StoreCommands store;
  KeysCommands keys;
  AssistantsCommands assistants;
};

void AddBenchSearch(CLI::App& bench, Options& options) {
  auto* command = bench.add_subcommand(
      "search",
      "What reading documents in and searching them costs, over gRPC: a store that grows, filters, recall, documents "
      "by "
      "type, questions meanwhile. The texts are synthetic (English words with natural frequencies, a topic a "
      "paragraph), "
      "or yours; everything is really extracted and embedded, so 10000 passages take a minute or two. For 100000 and "
      "1000000 in minutes, with made-up vectors: ./dev bench search-scale");
  AddCommon(*command, options.common);
  BenchSearchOptions& search = options.bench_search;
  command->add_option("--server", search.server,
                      "unix:PATH or HOST:PORT of carrel-retrieval (default: one of its own, for the time of the run)");
  command->add_option("--sizes", search.sizes, "Passages of the store, rising, such as 1000,10000; 0: no store")
      ->delimiter(',')
      ->check(CLI::Range(0, 10'000'000));
  command->add_option("--passing", search.passing, "Parts of the documents that filters let pass, such as 0.5,0.01")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--questions", search.questions, "Of each kind of search")->check(CLI::Range(1, 100'000));
  command->add_option("--types", search.types, "Of generated documents: txt,md,csv,html,json,pdf")->delimiter(',');
  command->add_option("--pages", search.pages, "Of each of them, about 350 words a page")->check(CLI::Range(1, 10'000));
  command->add_option("--documents", search.documents, "A directory: its documents instead of generated ones");
  command->add_option("--baselines", search.baselines,
                      "Directory of chromadb and faiss-cpu to compare with, over as many vectors as the largest size");
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
  AddBenchSearch(*bench, options);
  return command;
}

int Complain(const std::string& sentence) {
  std::cerr << "carrel: " << sentence << "\n";
  return ToInt(ExitCode::kUsage);
}

// The commands that do something of their own on Ctrl-C; the others simply end.
int DispatchWithSignals(CLI::App& app, const Commands& commands, Options& options, Console& console) {
  auto signals = carrel::rpc::ShutdownSignals::Block();
  if (!signals.ok()) {
    console.Fail(signals.status());
    return ToInt(ExitCode::kInternal);
  }
  if (app.got_subcommand("serve")) return ToInt(Serve(options.common, options.serve, *signals, console));
  if (commands.assistants.chat->parsed()) {
    return ToInt(AssistantsChat(options.common, options.assistants, *signals, console));
  }
  options.run.has_code = app.get_subcommand("run")->count("-c") > 0;
  if (!options.run.has_code && options.run.source.empty()) return Complain("run wants -c CODE, a FILE or -");
  return ToInt(Run(options.common, options.run, *signals, console));
}

ExitCode DispatchStore(const StoreCommands& store, const Options& options, Console& console) {
  if (store.create->parsed()) return StoreCreate(options.common, options.store, console);
  if (store.list->parsed()) return StoreList(options.common, console);
  if (store.show->parsed()) return StoreShow(options.common, options.store, console);
  if (store.add->parsed()) return StoreAdd(options.common, options.store, console);
  if (store.rm->parsed()) return StoreRemove(options.common, options.store, console);
  if (store.reembed->parsed()) return StoreReembed(options.common, options.store, console);
  return StoreDelete(options.common, options.store, console);
}

ExitCode DispatchKeys(const KeysCommands& keys, const Options& options, Console& console) {
  if (keys.create->parsed()) return KeysCreate(options.common, options.keys, console);
  if (keys.list->parsed()) return KeysList(options.common, console);
  return KeysRevoke(options.common, options.keys, console);
}

ExitCode DispatchAssistants(const AssistantsCommands& assistants, const Options& options, Console& console) {
  if (assistants.create->parsed()) return AssistantsCreate(options.common, options.assistants, console);
  if (assistants.list->parsed()) return AssistantsList(options.common, console);
  if (assistants.show->parsed()) return AssistantsShow(options.common, options.assistants, console);
  return AssistantsDelete(options.common, options.assistants, console);
}

int Dispatch(CLI::App& app, const Commands& commands, Options& options) {
  Console console(options.common.json);
  const auto chosen = [&](const char* name) { return app.got_subcommand(name); };
  if (chosen("serve") || chosen("run") || commands.assistants.chat->parsed()) {
    return DispatchWithSignals(app, commands, options, console);
  }
  if (chosen("bench")) {
    if (app.get_subcommand("bench")->got_subcommand("search")) {
      return ToInt(BenchSearch(options.common, options.bench_search, console));
    }
    return ToInt(BenchSandbox(options.common, options.bench, console));
  }
  if (chosen("search")) return ToInt(Search(options.common, options.search, console));
  if (chosen("cite")) return ToInt(Cite(options.common, options.cite, console));
  if (chosen("doctor")) return ToInt(Doctor(options.common, console));
  if (chosen("version")) return ToInt(Version(options.common, console));
  if (chosen("keys")) return ToInt(DispatchKeys(commands.keys, options, console));
  if (chosen("assistants")) return ToInt(DispatchAssistants(commands.assistants, options, console));
  return ToInt(DispatchStore(commands.store, options, console));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Carrel: runs code in a jail, and finds the passages of documents that answer a question.", "carrel");
  app.require_subcommand(1);
  app.footer(kExitCodeHelp);
  Options options;
  AddServe(app, options);
  AddRun(app, options);
  Commands commands{};
  commands.store = AddStore(app, options);
  AddSearch(app, options);
  AddCite(app, options);
  commands.assistants = AddAssistants(app, options);
  commands.keys = AddKeys(app, options);
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
  return Dispatch(app, commands, options);
}
