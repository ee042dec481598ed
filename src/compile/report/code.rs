//! Every kind of mistake there is, by a name that stays: for editors, for searching, and for the test that has a case of each.

/// Makes the enum, its names and the list of all from one table.
macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $name:literal,)*) => {
        /// A kind of mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])* $code,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The name, as reports and JSON have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }
        }
    };
}

codes! {
    /// A value that the readers of its file would read differently.
    AmbiguousValue = "ambiguous-value",
    /// Not an address that fits there.
    BadAddress = "bad-address",
    /// A preference of versions that apt would refuse or ignore.
    BadAptPin = "bad-apt-pin",
    /// A source of packages that apt could not read.
    BadAptSource = "bad-apt-source",
    /// Not a certificate, where one is wanted.
    BadCertificate = "bad-certificate",
    /// A comment that its file cannot carry.
    BadComment = "bad-comment",
    /// A variable that no env file can hold.
    BadEnvVariable = "bad-env-variable",
    /// Not the SHA-256 of a certificate.
    BadFingerprint = "bad-fingerprint",
    /// A home that is not its user's alone.
    BadHome = "bad-home",
    /// Not a network interface.
    BadInterface = "bad-interface",
    /// A link to nothing.
    BadLinkTarget = "bad-link-target",
    /// A mount that hides what has to be seen.
    BadMount = "bad-mount",
    /// A path of logs that logrotate cannot be told.
    BadLogPath = "bad-log-path",
    /// A name that its reader would skip or refuse.
    BadName = "bad-name",
    /// Not a network.
    BadNetwork = "bad-network",
    /// A pin that is no object of git, or of no target.
    BadPin = "bad-pin",
    /// A line that is no public key of OpenSSH.
    BadPublicKey = "bad-public-key",
    /// Not an address of a repository that stackc reads.
    BadRepo = "bad-repo",
    /// Not a time that cron or systemd understands.
    BadSchedule = "bad-schedule",
    /// A command that has no exact form in sudoers.
    BadSudoCommand = "bad-sudo-command",
    /// Not a kernel parameter, or not a value of one.
    BadSysctl = "bad-sysctl",
    /// Not a tag of Proxmox.
    BadTag = "bad-tag",
    /// A template outside its folder.
    BadTemplateName = "bad-template-name",
    /// A setting of unattended upgrades that means nothing.
    BadUpgrades = "bad-upgrades",
    /// Not an address of Proxmox's API.
    BadUrl = "bad-url",
    /// Not a path of a URL.
    BadUrlPath = "bad-url-path",
    /// A value that breaks the rule of its type: names, paths, modes, sizes.
    BadValue = "bad-value",
    /// Not a version of a package.
    BadVersion = "bad-version",
    /// A unit that may start before a cut switch is recovered.
    BeforeRecovery = "before-recovery",
    /// A path below what is no directory.
    BelowAFile = "below-a-file",
    /// A path whose folder is not root's alone.
    BelowAnothersFolder = "below-anothers-folder",
    /// An env names a branch, and no repository is known.
    BranchWithoutRepo = "branch-without-repo",
    /// More than a bundle takes.
    BundleTooBig = "bundle-too-big",
    /// Two paths that differ in case only.
    CaseTwins = "case-twins",
    /// One thing that two entries declare.
    DeclaredTwice = "declared-twice",
    /// A file beyond what a bundle takes.
    FileTooBig = "file-too-big",
    /// A path that no bundle may own.
    ForeignPath = "foreign-path",
    /// A gateway outside the guest's network.
    GatewayElsewhere = "gateway-elsewhere",
    /// Keys that exclude each other.
    KeysExclude = "keys-exclude",
    /// A file that its reader leaves out for its owner or its mode.
    IgnoredFile = "ignored-file",
    /// A line of a unit that systemd ignores.
    IgnoredLine = "ignored-line",
    /// A kind that extends itself.
    KindCircle = "kind-circle",
    /// Kinds that extend one another too often.
    KindTooDeep = "kind-too-deep",
    /// Keys of users that sshd is not told of.
    KeysNobodyReads = "keys-nobody-reads",
    /// A link where boot or login reads.
    LinkAtBoot = "link-at-boot",
    /// A port that only root opens, for another user.
    LowPort = "low-port",
    /// A unit masked that the way in or the guest itself needs.
    MaskedUnit = "masked-unit",
    /// A public file that the workspace does not have.
    MissingFile = "missing-file",
    /// A key that has to be there.
    MissingKey = "missing-key",
    /// A directive that a guest without nesting cannot follow.
    NeedsNesting = "needs-nesting",
    /// No key for operators.
    NoAdminKey = "no-admin-key",
    /// An entry without content.
    NoContent = "no-content",
    /// A key that has no effect there.
    NoEffect = "no-effect",
    /// Variables, and no file for them.
    NoEnvFile = "no-env-file",
    /// A value that its file has no form for.
    NoForm = "no-form",
    /// No network of operators.
    NoManagement = "no-management",
    /// A project's file without `[project]`.
    NoProject = "no-project",
    /// A unit without the section of its sort.
    NoSection = "no-section",
    /// A workspace without `stacks/site.toml`.
    NoSite = "no-site",
    /// A template in a text that takes none.
    NoTemplateHere = "no-template-here",
    /// The API is trusted in no way.
    NoTrust = "no-trust",
    /// A unit runs a file that nobody may execute.
    NotExecutable = "not-executable",
    /// A template reads what is made after it.
    NotKnownYet = "not-known-yet",
    /// A command of several lines, or of none.
    NotOneLine = "not-one-line",
    /// A branch without its commit in `stacks/lock.toml`.
    NotPinned = "not-pinned",
    /// A source that is no text.
    NotUtf8 = "not-utf8",
    /// `false` for an entry that no weaker layer has.
    NothingToRemove = "nothing-to-remove",
    /// A virtual machine made from nothing, or from two things.
    OneDiskSource = "one-disk-source",
    /// A firewall that shuts operators out.
    OperatorsShutOut = "operators-shut-out",
    /// Units that wait for each other.
    OrderCircle = "order-circle",
    /// A key that only containers have, or only virtual machines.
    OtherKindsKey = "other-kinds-key",
    /// A number outside its range.
    OutOfRange = "out-of-range",
    /// Something that a package brings which nobody declares.
    PackageNotDeclared = "package-not-declared",
    /// An address of a repository with a password in it.
    PasswordInAddress = "password-in-address",
    /// Two entries for one path.
    PathTwice = "path-twice",
    /// Several ports in a rule for any protocol.
    PortsNeedProtocol = "ports-need-protocol",
    /// A probe of an address where nobody listens.
    ProbeElsewhere = "probe-elsewhere",
    /// A probe of no kind, or of several.
    ProbeOfOneKind = "probe-of-one-kind",
    /// A probe of a port that the firewall shuts.
    ProbeShut = "probe-shut",
    /// A character that hides or reorders text.
    RefusedCharacter = "refused-character",
    /// A unit that systemd would refuse to load.
    RefusedUnit = "refused-unit",
    /// A program without its absolute path.
    RelativeProgram = "relative-program",
    /// A rule whose list of sources is empty.
    RuleFromNowhere = "rule-from-nowhere",
    /// Two rules for the same packets.
    RuleTwice = "rule-twice",
    /// Two entries for one database.
    SameDatabase = "same-database",
    /// Two guests with one name, number or address.
    /// Two guests with one name, number, address or hardware address.
    SameIdentity = "same-identity",
    /// Two services on one port.
    SamePort = "same-port",
    /// A secret that every user of the guest could read.
    SecretForAll = "secret-for-all",
    /// A secret where everybody could read it.
    SecretHere = "secret-here",
    /// A secret where no template may have it.
    SecretInTemplate = "secret-in-template",
    /// A folder that others live in.
    SharedFolder = "shared-folder",
    /// A path that is one for all releases, though each brings its own.
    SharedRelease = "shared-release",
    /// A source beyond 1 MiB.
    SourceTooBig = "source-too-big",
    /// An sshd that does not let operators in, or a sudo that does not let them work.
    SshdShutsOut = "sshd-shuts-out",
    /// A pin for another repository or branch.
    StalePin = "stale-pin",
    /// Not TOML.
    Syntax = "syntax",
    /// A user that Debian itself makes.
    SystemAccount = "system-account",
    /// A template that makes too much.
    TemplateBounds = "template-bounds",
    /// A template that cannot be rendered.
    TemplateFails = "template-fails",
    /// Not a template.
    TemplateSyntax = "template-syntax",
    /// An entry whose content is given twice.
    TwoContents = "two-contents",
    /// A role of a database with two passwords.
    TwoPasswords = "two-passwords",
    /// The API is trusted in two ways.
    TwoTrusts = "two-trusts",
    /// A template names what does not exist.
    UndefinedName = "undefined-name",
    /// A user or group that nobody makes.
    UnknownAccount = "unknown-account",
    /// A directive that systemd does not know.
    UnknownDirective = "unknown-directive",
    /// A key that means nothing there.
    UnknownKey = "unknown-key",
    /// A kind that is not there.
    UnknownKind = "unknown-kind",
    /// A section that a unit of this sort does not have.
    UnknownSection = "unknown-section",
    /// A template that is not there.
    UnknownTemplate = "unknown-template",
    /// A unit that neither the bundle nor a package of it has.
    UnknownUnit = "unknown-unit",
    /// A variable that the kind does not declare.
    UnknownVariable = "unknown-variable",
    /// A word that is none of those allowed.
    UnknownWord = "unknown-word",
    /// A unit needs a file that nobody makes.
    UnmadeFile = "unmade-file",
    /// A file that looks like definitions and is read by nothing.
    UnreadFile = "unread-file",
    /// A pin that no guest uses.
    UnusedPin = "unused-pin",
    /// A file or directory that everybody could write to.
    WritableByAll = "writable-by-all",
    /// A value of another type than wanted.
    WrongType = "wrong-type",
}
