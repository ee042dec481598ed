# What `stackc build` makes of a generated workspace, made by Nix: the same definitions in, the same files out.
# `texts.json` has the texts of the kind, by path, with @PROJECT@ and @ENV@ where these belong.
let
  texts = builtins.fromJSON (builtins.readFile ./texts.json);
  stacks = builtins.attrNames (builtins.readDir ../stacks);
  projects = builtins.filter (file: builtins.match "project-.*" file != null) stacks;

  quoted = value: if builtins.match "[A-Za-z0-9_-]+" value != null then value else "'${value}'";
  envFile = vars:
    builtins.concatStringsSep ""
    (map (key: "${key}=${quoted (toString vars.${key})}\n") (builtins.attrNames vars));

  guest = project: env: definition:
    let
      fill = builtins.replaceStrings [ "@PROJECT@" "@ENV@" ] [ project env ];
      files = map (path: { path = fill path; text = fill texts.${path}; }) (builtins.attrNames texts)
        ++ [{ path = "srv/app/.env.${env}"; text = envFile definition.env_vars; }];
      folders = map (file: "$out/${builtins.dirOf file.path}") files;
      copy = file: "cp ${builtins.toFile "text" file.text} $out/${file.path}";
    in derivation {
      name = "${project}-${env}";
      system = builtins.currentSystem;
      builder = "/bin/sh";
      PATH = "/usr/bin:/bin";
      args = [
        "-ec"
        (builtins.concatStringsSep "\n"
          ([ "mkdir -p ${builtins.concatStringsSep " " folders}" ] ++ map copy files))
      ];
    };

  guestsOf = file:
    let definition = builtins.fromTOML (builtins.readFile (../stacks + "/${file}"));
        project = builtins.replaceStrings [ ".toml" ] [ "" ] file;
    in map (env: guest project env definition.envs.${env}) (builtins.attrNames definition.envs);
in builtins.concatLists (map guestsOf projects)
