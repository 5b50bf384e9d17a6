//! `image import`: a directory or a tar becomes an image of one layer; so images are made where no registry is.

use super::super::create::{command_words, variable};
use super::super::{Access, Action, Args, Argv, Call, Form, Line, Opt, Refusal, Verb};
use crate::images::{self, Import, ImportConfig};
use crate::wire::args::absolute;

const OK: [&str; 3] = ["name", "digest", "size"];

/// `image import PATH REF [cmd="words"] [entrypoint=] [env=]… [workdir=] [user=]` → `OK name= digest= size=`
pub const VERB: Verb = Verb {
    form: Form {
        name: "image import",
        required: &["PATH", "REF"],
        optional: &[],
        options: &[
            &Opt::once("cmd", "WORDS", "what it runs where nothing is said"),
            &Opt::once("entrypoint", "WORDS", "what comes before that"),
            &Opt::many("env", "NAME=VALUE", "a variable of its environment"),
            &Opt::once("workdir", "DIR", "its working directory"),
            &Opt::once("user", "USER[:GROUP]", "who it runs as"),
        ],
        argv: Argv::No,
    },
    about: "make an image of a directory or a tar",
    access: Access::Change,
    reply_keys: &[&OK],
    action: Action::Run(|mut args, call| {
        let import = read(&mut args)?;
        Ok(Box::pin(run(import, call)))
    }),
};

fn read(args: &mut Args) -> Result<Import, Refusal> {
    Ok(Import {
        path: absolute(&args.required()?)?,
        reference: args.required()?.parse()?,
        config: ImportConfig {
            cmd: args.value("cmd", command_words)?.unwrap_or_default(),
            entrypoint: args.value("entrypoint", command_words)?.unwrap_or_default(),
            env: args.all_bytes("env")?.into_iter().map(variable).collect::<Result<_, _>>()?,
            workdir: args.value("workdir", |dir| absolute(dir).map(|_| dir.to_owned()))?,
            user: args.text("user")?,
        },
    })
}

async fn run(import: Import, call: Call) -> Result<Line, Refusal> {
    let store = call.engine.images.clone();
    let image = call.finish(async move { images::ask(&store, import).await }).await?;
    Ok(Line::ok(&OK, &[&image.name, &image.digest, &image.size]))
}
