# What `bao agent` (or `vault agent`) ran so far: twenty templates over five secrets.
vault {
  address = "http://127.0.0.1:8200"
}

auto_auth {
  method "token_file" {
    config = {
      token_file_path = "token"
    }
  }
}

template_config {
  static_secret_render_interval = "5m"
  exit_on_retry_failure         = true
}

template {
  source      = "before/templates/application.properties.ctmpl"
  destination = "rendered/application.properties"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/database.yml.ctmpl"
  destination = "rendered/database.yml"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/db.env.ctmpl"
  destination = "rendered/db.env"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/pgpass.ctmpl"
  destination = "rendered/pgpass"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/my.cnf.ctmpl"
  destination = "rendered/my.cnf"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/url.txt.ctmpl"
  destination = "rendered/url.txt"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/proxy.conf.ctmpl"
  destination = "rendered/proxy.conf"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/upstreams.conf.ctmpl"
  destination = "rendered/upstreams.conf"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/userlist.cfg.ctmpl"
  destination = "rendered/userlist.cfg"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/token.sha256.ctmpl"
  destination = "rendered/token.sha256"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/flags.json.ctmpl"
  destination = "rendered/flags.json"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/flags.yaml.ctmpl"
  destination = "rendered/flags.yaml"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/flags.ini.ctmpl"
  destination = "rendered/flags.ini"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/banner.txt.ctmpl"
  destination = "rendered/banner.txt"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/smtp.json.ctmpl"
  destination = "rendered/smtp.json"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/msmtprc.ctmpl"
  destination = "rendered/msmtprc"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/alertmanager.yml.ctmpl"
  destination = "rendered/alertmanager.yml"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/tls.crt.ctmpl"
  destination = "rendered/tls.crt"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/haproxy.pem.ctmpl"
  destination = "rendered/haproxy.pem"
  command     = "kill -HUP $(cat app.pid)"
}

template {
  source      = "before/templates/secret.yaml.ctmpl"
  destination = "rendered/secret.yaml"
  command     = "kill -HUP $(cat app.pid)"
}
